"""ruff and mypy beside the tests are heard: what they find fails the run, and is told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import checks


class Reporter:
    """What prints the closing line; keeps what it is told."""

    def __init__(self) -> None:
        self.stats: dict[str, list[pytest.TestReport]] = {}
        self.printed: list[str] = []

    def write_line(self, line: str) -> None:
        self.printed.append(line)

    def write_sep(self, sep: str, title: str) -> None:
        self.printed.append(title)

    def write(self, content: str) -> None:
        self.printed.append(content)


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
def check(
    tmp_path: Path, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], checks.Checks]]:
    """The quick one of the two, on a folder with one module."""
    monkeypatch.setattr(checks, "COMMANDS", (("ruff", "check", "--no-cache", "."),))
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=lambda name: reporter))
    begun: list[checks.Checks] = []

    def begin(text: str) -> checks.Checks:
        (tmp_path / "a.py").write_text(text)
        begun.append(checks.Checks(config, tmp_path))
        return begun[-1]

    yield begin
    for one in begun:
        one.pytest_unconfigure()


def finish(one: checks.Checks, code: int) -> int:
    session: Any = SimpleNamespace(exitstatus=code)
    one.pytest_sessionfinish(session, code)
    return int(session.exitstatus)


def test_what_is_well_changes_nothing(check: Callable[[str], checks.Checks], reporter: Reporter) -> None:
    assert finish(check("import os\n\nprint(os)\n"), 0) == 0
    assert reporter.stats == {}
    assert reporter.printed == ["", "ruff check --no-cache .", "All checks passed!\n"]


@pytest.mark.parametrize(("code", "expected"), [(0, 1), (1, 1), (5, 5)])
def test_what_a_check_finds_is_a_failed_test(
    check: Callable[[str], checks.Checks], reporter: Reporter, code: int, expected: int
) -> None:
    """With its name and its output; a bad code of pytest's own stays."""
    assert finish(check("import os\n"), code) == expected
    (failed,) = reporter.stats["failed"]
    assert failed.nodeid == "ruff check --no-cache ." and "F401" in failed.longreprtext


def test_nobody_waits_for_a_check_after_ctrl_c(
    check: Callable[[str], checks.Checks], reporter: Reporter
) -> None:
    code = int(pytest.ExitCode.INTERRUPTED)
    assert finish(check("import os\n"), code) == code
    assert reporter.stats == {} and reporter.printed == []


def test_a_worker_runs_no_checks() -> None:
    worker: Any = SimpleNamespace(workerinput={})
    checks.pytest_configure(worker)
