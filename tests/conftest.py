"""With FASTGUP_NO_SKIP set, as in CI, a skipped test fails the run: a missing tool must not pass for a success."""

from __future__ import annotations

import os

import pytest


def _refused(config: pytest.Config) -> list[str]:
    """What was skipped and must not have been, one line a test."""
    if not os.environ.get("FASTGUP_NO_SKIP"):
        return []
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    return [f"{report.nodeid}: {_reason(report)}" for report in skipped]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _refused(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if refused := _refused(config):
        terminalreporter.section(f"FASTGUP_NO_SKIP: {len(refused)} skipped, which fails the run", red=True)
        for line in refused:
            terminalreporter.line(line)
