"""The answer's sentences, against numbers given by hand."""

from __future__ import annotations

from typing import Any

import pytest
import sample_outcome
from sample_outcome import numbers

from fastgup_reports import lead

SPLITS = {
    "broadcasts": 385,
    "interrupts": 1155,
    "by_cause": {"split": {"broadcasts": 385, "interrupts": 1155}, "tlb": {"broadcasts": 0, "interrupts": 0}},
}


def said(topic: str, **mechanisms: Any) -> list[str]:
    return dict(lead.sentences(mechanisms))[topic]


def test_mechanisms_with_one_answer_share_a_sentence() -> None:
    assert said("Interrupts", a=numbers(ipis=SPLITS), b=numbers(), c=numbers(ipis=SPLITS)) == [
        "a and c each send 1,155 interrupts in 385 broadcasts, all for THP splits.",
        "b sends no IPI.",
    ]


def test_several_causes_are_told_from_the_largest() -> None:
    by_cause = {"tlb": {"broadcasts": 1, "interrupts": 2}, "table_free": {"broadcasts": 3, "interrupts": 9}}
    (sentence,) = said("Interrupts", a=numbers(ipis={"broadcasts": 4, "interrupts": 11, "by_cause": by_cause}))
    assert sentence == (
        "a sends 11 interrupts in 4 broadcasts, 9 for table frees without a batch page, 2 for TLB shootdown."
    )


def test_what_is_known_of_a_whole_that_is_not_is_told() -> None:
    nothing = {"broadcasts": None, "interrupts": None}
    whole = {**nothing, "by_cause": {"tlb": {"broadcasts": 4, "interrupts": 9}, "collapse": nothing}}
    zero = {**nothing, "by_cause": {"tlb": {"broadcasts": 0, "interrupts": 0}, "collapse": nothing}}
    assert said("Interrupts", a=numbers(ipis=whole), b=numbers(ipis=zero)) == [
        "a sends at least 9 interrupts in 4 broadcasts, all for TLB shootdown; for THP collapse: not known.",
        "b sends no IPI; for THP collapse: not known.",
    ]


def test_one_is_singular() -> None:
    ipis = {"broadcasts": 1, "interrupts": 1, "by_cause": {"collapse": {"broadcasts": 1, "interrupts": 1}}}
    assert said("Interrupts", a=numbers(ipis=ipis)) == ["a sends 1 interrupt in 1 broadcast, all for THP collapse."]


def test_a_broadcast_that_finds_no_other_cpu_is_told() -> None:
    assert said("Interrupts", a=numbers(ipis={"broadcasts": 3})) == ["a sends 0 interrupts in 3 broadcasts."]


def test_not_known_is_neither_zero_nor_none() -> None:
    nulls = {key: dict.fromkeys(group) for key, group in numbers().items()}
    for topic, sentences in lead.sentences({"a": nulls}):
        assert any("not known" in sentence for sentence in sentences), topic


def test_tables() -> None:
    rcu = {"batches": 3, "tables": 8, "tables_per_batch_mean": 8 / 3, "tables_per_batch_max": 5}
    assert said("Tables", a=numbers(rcu=rcu, tables={"freed": 9}), b=numbers(tables={"freed": 9})) == [
        "a hands 8 of 9 tables to RCU in 3 batches of 2.7 tables on average and 5 at most.",
        "b hands no table to RCU; 9 are freed without it.",
    ]


def test_memory_from_the_least_to_the_most() -> None:
    a = {"batches": 1, "held_bytes_max": 4096, "queue_to_free_ns_p50": 10**6, "queue_to_free_ns_p99": None}
    b = {"batches": 1, "held_bytes_max": 4096, "queue_to_free_ns_p50": 3 * 10**6, "queue_to_free_ns_p99": None}
    assert said("Memory", a=numbers(rcu=b), b=numbers(rcu=a), c=numbers()) == [
        "At peak, batches hold 4.1 kB (a and b).",
        "Half of the batches are free within 1.0 ms (b) to 3.0 ms (a) after call_rcu.",
    ]
    assert said("Memory", c=numbers()) == ["Nothing is held for RCU."]


def test_walks() -> None:
    assert said(
        "Walks",
        a=numbers(walks={"total": 4, "fast": 3, "slow": 1}),
        b=numbers(walks={"total": 4, "slow": 3, "livelocked": 1}),
        c=numbers(),
    ) == [
        "a serves 3 of 4 fast-GUP calls fast (75%).",
        "b serves none of 4 fast-GUP calls fast; 1 never ends.",
        "c – no fast-GUP call in this capture.",
    ]


def test_safety_says_what_was_seen_and_what_could_not_be() -> None:
    assert said(
        "Safety",
        a=numbers(),
        b=numbers(hazards={"table_use_after_free": 2, "free_before_tlbi": 1}),
        c=numbers(hazards={"split_race": None, "free_before_tlbi": 1}),
    ) == [
        "a shows no hazard on this workload.",
        "b shows 2 overlaps in which a walk could have used a freed table and "
        "1 table free before the TLB invalidation that covers it.",
        "c shows 1 table free before the TLB invalidation that covers it (race with a split: not known).",
    ]


@pytest.mark.parametrize("broken", [{}, {"a": {}}, {"a": {"ipis": 3, "rcu": [], "walks": {"total": "<b>"}}}])
def test_any_json_has_an_answer(broken: dict[str, Any]) -> None:
    assert lead.sentences(broken)


def test_an_outcome_without_mechanism_says_so() -> None:
    assert lead.sentences(sample_outcome.summary({})["mechanisms"]) == [("Nothing", ["No mechanism was replayed."])]


def test_a_share_is_not_rounded_to_all_or_to_none() -> None:
    shares = [lead.share(part, whole) for part, whole in ((3, 4), (2012, 2013), (2013, 2013), (1, 2013), (0, 2013))]
    assert shares == ["75%", "over 99%", "100%", "under 1%", "0%"]
