"""kallsyms read by columns: the same answers as a reading line by line."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastgup_trace.ingest.kernel_events.symbols import Symbols

LINES = st.lists(
    st.tuples(
        st.integers(0, 40), st.sampled_from(["08x", "016x", "08X", "010x"]), st.sampled_from("TtDaA?"),
        st.sampled_from(["f", "g.cold", "$a", "$x.7", ".L14\x021"]), st.sampled_from(["", "\t[module]", " "]),
    ),
    max_size=20,
)  # fmt: skip


@given(LINES)
def test_the_first_function_of_an_address_is_its_name(lines: list[tuple[int, str, str, str, str]]) -> None:
    text = "".join(f"{address:{width}} {kind} {name}{module}\n" for address, width, kind, name, module in lines)
    names: dict[int, str] = {}
    for address, _, kind, name, _ in lines:
        if address and kind not in "aA" and not name.startswith("$"):
            names.setdefault(address, name)
    expected = [
        next((names[place] for place in range(address, 0, -1) if place in names), None) for address in range(45)
    ]
    assert Symbols(text.encode(), "here").names(np.arange(45, dtype=np.uint64)) == expected


def test_high_addresses_keep_all_their_bits() -> None:
    symbols = Symbols(b"ffffffff81000000 T _text\nffffffffffffffff T last\n", "here")
    asked = np.array([0xFFFFFFFF80FFFFFF, 0xFFFFFFFF81000001, 0xFFFFFFFFFFFFFFFF], np.uint64)
    assert symbols.names(asked) == [None, "_text", "last"]
