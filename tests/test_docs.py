"""What is registered is documented, and what the documents tell a reader to run exists."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from shared_captures import ROOT

import fastgup_trace.cli as cli


def page(*path: str) -> str:
    return ROOT.joinpath(*path).read_text(encoding="utf-8")


def user_docs() -> str:
    """All that a user reads: the README, the changelog and the pages under docs/."""
    return "\n".join(
        [page("README.md"), page("CHANGELOG.md"), *(p.read_text() for p in sorted(ROOT.glob("docs/*.md")))]
    )


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", page("Makefile"), re.MULTILINE))


def test_every_format_is_documented() -> None:
    from fastgup_trace.ingest import FORMATS

    assert FORMATS
    for known in FORMATS:
        assert known.recognised_by.strip()
        assert f"--format {known.name}`" in user_docs(), f"the format {known.name} is in no page that a user reads"


def test_every_mechanism_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    from fastgup_replay.mechanisms import MECHANISMS

    assert MECHANISMS
    for known in MECHANISMS:
        assert f"`{known.name}`" in user_docs(), f"the mechanism {known.name} is in no page that a user reads"
        assert cli.main(["mechanisms", known.name]) == 0
        shown = capsys.readouterr().out
        assert known.title in shown
        assert known.sources, f"{known.name} has no source"
        for source in known.sources:
            assert source in " ".join(shown.split())


def test_every_panel_says_what_it_shows() -> None:
    from fastgup_reports.panels import PANELS

    assert PANELS
    for panel in PANELS:
        assert (import_module(panel.__name__).__doc__ or "").strip(), f"{panel.__name__} does not say what it draws"
        assert panel.TITLE.strip()
        assert panel.NOTHING.strip(), f"{panel.__name__} does not say what stands there where it has nothing to draw"


def test_every_probe_says_what_it_tells_and_on_which_kernels() -> None:
    from fastgup_trace.probes import PROBES
    from fastgup_trace.schema import TABLES

    assert PROBES
    for probe in PROBES:
        assert probe.table in TABLES, probe
        assert probe.tells.strip(), probe
        assert probe.kernels.strip(), probe


def test_the_table_of_datasets_is_the_catalogue() -> None:
    from fastgup_datasets.catalog import markdown

    text = page("datasets", "README.md")
    shown = text[text.index("<!-- catalogue") : text.index("<!-- end of catalogue -->")].partition("-->\n")[2]
    assert shown.strip() == markdown(), "put the output of fastgup_datasets.catalog.markdown() into datasets/README.md"


def test_the_changelog_has_this_version_and_every_command() -> None:
    from fastgup_trace import __version__

    text = page("CHANGELOG.md")
    assert re.search(rf"^## {re.escape(__version__)}\b", text, re.MULTILINE)
    for name in cli.COMMANDS:
        assert f"`fastgup-trace {name}`" in text


def test_the_package_has_one_version() -> None:
    import tomllib

    from fastgup_trace import __version__

    assert tomllib.loads(page("pyproject.toml"))["project"]["version"] == __version__


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md", "datasets/README.md"])
def test_every_make_target_and_command_that_a_page_names_exists(document: str) -> None:
    text = page(document)
    assert set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s]|$)", "\n".join(code(text)))) <= make_targets()
    assert set(re.findall(r"fastgup-trace ([a-z]+)\b", "\n".join(code(text)))) <= set(cli.COMMANDS)


def code(text: str) -> list[str]:
    """The code of a Markdown page: what is in backticks, in fences or indented by four."""
    fenced = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    return [*fenced, *re.findall(r"`([^`\n]+)`", text), *re.findall(r"^    (.+)$", text, re.MULTILINE)]


def test_the_makefile_runs_commands_and_a_recording_that_exist() -> None:
    from fastgup_datasets.catalog import find

    text = page("Makefile")
    assert set(re.findall(r"\$\(FASTGUP\) ([a-z]+)", text)) == {"ingest", "replay", "report"}
    assert find(re.findall(r"^DATASET \?= (\S+)$", text, re.MULTILINE)[0]).name == "trace.dat"


def test_the_readme_names_the_two_commands_to_start_with() -> None:
    assert {"demo", "test"} <= make_targets()
    commands = "\n".join(code(page("README.md")))
    assert "make demo" in commands
    assert "make test" in commands


def test_no_page_names_a_path_of_one_machine() -> None:
    pages = [p for p in ROOT.glob("**/*.md") if not {".venv", "captures"} & set(p.relative_to(ROOT).parts)]
    found = {str(p.relative_to(ROOT)): re.findall(r"(?<!\w)/(?:work|tmp|root|home)/\S*", p.read_text()) for p in pages}
    assert {name: paths for name, paths in found.items() if paths} == {}
