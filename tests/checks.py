"""ruff and mypy beside the tests, for `tests/run`: `pytest -p tests.checks`.

The rule: they take the processor when no test wants it, and pytest's closing line stays the last one. So a
check that fails is a failed test: its output stands among theirs, and the closing line counts it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (("ruff", "check", "."), ("mypy", "--strict"))


class Check:
    """One check that runs."""

    def __init__(self, command: tuple[str, ...], directory: Path) -> None:
        self.name = " ".join(command)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, 10)

    def report(self) -> pytest.TestReport:
        """Wait for its end; how it went, as of a test."""
        output, _ = self._process.communicate()
        return pytest.TestReport(
            nodeid=self.name,
            location=(self.name, None, self.name),
            keywords={},
            outcome="failed" if self._process.returncode else "passed",
            longrepr=output,
            when="call",
        )

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


class Checks:
    """The plugin: the checks start with the session, and end with it."""

    def __init__(self, config: pytest.Config, directory: Path) -> None:
        self._config = config
        self._checks = [Check(command, directory) for command in COMMANDS]

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Before pytest tells of the failures; nobody waits where the tests were interrupted."""
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            return
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        for report in [check.report() for check in self._checks]:
            if report.failed:
                reporter.stats.setdefault("failed", []).append(report)
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
            else:
                reporter.write_line("")
                reporter.write_sep("=", report.nodeid)
                reporter.write(str(report.longrepr))

    def pytest_unconfigure(self) -> None:
        for check in self._checks:
            check.end()


def pytest_configure(config: pytest.Config) -> None:
    """In the process that prints, and in none of its workers."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Checks(config, ROOT))
