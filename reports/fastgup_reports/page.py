"""An outcome as one HTML page that needs nothing beside it: the answer, the table, the plots, the provenance.

The page requests nothing: its Content-Security-Policy allows no source but itself, and runs no script but the two
that are embedded here (plotly.js and page.js), each named by its hash. Text from a recording is chosen by whoever ran
the processes recorded; it is escaped where it is written, and the policy keeps what would slip through from running.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs

from fastgup_replay.outcome import Outcome
from fastgup_reports import lead, provenance, summary_table
from fastgup_reports.panels import PANELS, Panel
from fastgup_reports.theme import esc, listed
from fastgup_trace import __version__


def render(outcome: Outcome) -> str:
    """The page as text. Raises nothing for an outcome without rows, mechanisms or provenance."""
    replayed = outcome.summary.get("mechanisms")
    mechanisms = {str(k): _mapping(v) for k, v in _mapping(replayed).items()}
    capture, platform = _mapping(outcome.summary.get("capture")), _mapping(outcome.summary.get("platform"))
    what = _what(capture, _mapping(outcome.summary.get("selection")))
    sections = [(_name(panel), panel.TITLE, _panel(panel, outcome, mechanisms)) for panel in PANELS]
    scripts = [get_plotlyjs(), _asset("page.js")]
    toc = [("answer", "Answer"), ("mechanisms", "Mechanisms"), *((key, title) for key, title, _ in sections),
           ("provenance", "Provenance and evidence")]  # fmt: skip
    return "".join(
        [
            "<!DOCTYPE html>\n",
            '<html lang="en"><head><meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{esc(_policy(scripts))}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{esc(_title(capture))}</title>\n<style>\n{_asset('page.css')}</style></head><body>\n",
            '<a class="skip" href="#answer">Skip to the answer</a>\n',
            f"<header><h1>What each page-table-freeing design would cost</h1>\n<p>{esc(what)}</p></header>\n",
            '<nav aria-label="Contents"><ol>',
            *(f'<li><a href="#{key}">{esc(title)}</a></li>' for key, title in toc),
            "</ol></nav>\n<main>\n",
            '<section id="answer"><h2>Answer</h2>\n<dl class="lead">\n',
            *(_answer(topic, said) for topic, said in lead.sentences(mechanisms)),
            "</dl>\n",
            *(f'<p class="caveat">{esc(caveat)}</p>\n' for caveat in provenance.caveats(outcome.summary)),
            "</section>\n",
            '<section id="mechanisms"><h2>Mechanisms</h2>\n',
            summary_table.table(mechanisms, summary_table.GROUPS, "What each mechanism would have done"),
            summary_table.table(mechanisms, summary_table.DETAILS, "Tables by path, interrupts by cause, waits"),
            "</section>\n",
            *(section for _, _, section in sections),
            '<section id="provenance"><h2>Provenance and evidence</h2>\n<h3>Recording</h3>\n',
            provenance.recordings(capture),
            provenance.definitions({**_named(capture), "made with": f"fastgup-trace {__version__}"}),
            "<h3>Platform replayed on</h3>\n",
            provenance.definitions(platform),
            "<h3>Evidence</h3>\n<p>observed: a probe saw it; inferred: derived from what was seen; "
            "assumed: a default of the model.</p>\n",
            provenance.evidence(mechanisms),
            "</section>\n</main>\n",
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body></html>\n",
        ]
    )


def _named(capture: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance with what its sidecar says of the machine and the name."""
    meta = {key: lead.value(capture, "sidecars", "meta", key) for key in ("name", "machine")}
    return {**{key: fact for key, fact in meta.items() if fact}, **capture}


def _answer(topic: str, said: list[str]) -> str:
    return f"<dt>{esc(topic)}</dt><dd>{'<br>'.join(esc(sentence) for sentence in said)}</dd>\n"


def _panel(panel: Panel, outcome: Outcome, mechanisms: Mapping[str, Any]) -> str:
    key, table = _name(panel), panel.summarise(outcome)
    head = f'<section id="{key}"><h2>{esc(panel.TITLE)}</h2>\n'
    unknown = [name for name, numbers in mechanisms.items() if lead.value(numbers, *panel.tells) is None]
    caveat = f" Not known, or not wholly, for {listed(unknown)}: see the evidence at the foot." if unknown else ""
    if table.empty:
        words = caveat if unknown and len(unknown) == len(mechanisms) else panel.NOTHING + caveat
        return f'{head}<p class="nothing">{esc(words.strip())}</p></section>\n'
    figure = panel.draw(table)
    return (
        f'{head}<figure><div class="plot" id="plot-{key}" role="img" aria-label="{esc(panel.TITLE)}" '
        f'style="min-height:{int(figure.layout.height)}px"></div>\n'
        f"<figcaption>{esc(panel.caption(table) + caveat)}</figcaption></figure>\n"
        f'<script type="application/json" class="figure" data-plot="plot-{key}">{script_json(figure.to_json())}'
        "</script></section>\n"
    )


def _name(panel: Panel) -> str:
    return panel.__name__.rsplit(".", 1)[-1].replace("_", "-")


def script_json(text: str) -> str:
    """JSON that no HTML parser sees an end in: `<` (of `</script>`, `<!--`), `>` and `&` only as escapes of JSON."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(scripts: list[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return files("fastgup_reports").joinpath("assets", name).read_text(encoding="utf-8")


def _mapping(document: Any) -> Mapping[str, Any]:
    return document if isinstance(document, Mapping) else {}


def _title(capture: Mapping[str, Any]) -> str:
    name = provenance.name(capture)
    return f"fastgup-trace: {name}" if name else "fastgup-trace"


def _what(capture: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """The line under the title: what was replayed, recorded on what, and what of it."""
    kernel, arch, cpus = (capture.get(key) for key in ("kernel_release", "arch", "nr_cpus"))
    machine = [f"Linux {kernel}" if kernel else "", arch or "", f"{cpus} CPUs" if cpus else ""]
    known = ", ".join(str(part) for part in machine if part)
    what = f"Replay of {provenance.name(capture) or 'a recording'}{f' ({known})' if known else ''}"
    limits = ", ".join(f"{key} {limit}" for key, limit in selection.items() if limit is not None)
    return f"{what}, limited to {limits}" if limits else what


__all__ = ["render"]
