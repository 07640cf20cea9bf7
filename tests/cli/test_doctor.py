"""`pylitefs doctor`: a line each, and exit code 1 if anything is to be mended."""

from pathlib import Path

import pytest

from pylitefs.cli import doctor
from pylitefs.cli.main import run
from pylitefs.doctor.finding import Finding, note, ok, wrong


def test_a_line_each_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def found(*findings: Finding) -> int:
        def examine(path: object, urls: object) -> list[Finding]:
            asked.append((path, urls))
            return list(findings)

        monkeypatch.setattr(doctor, "examine", examine)
        return run(["doctor", "-config", "f.yml", "-url", "http://h:1"])

    assert found(ok("fuse", "is there"), note("disk", "look")) == 0
    assert found(wrong("port", "taken \x1b[2J", "end it")) == 1
    assert asked[0] == (Path("f.yml"), ("http://h:1",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["ok     fuse            is there", "note   disk            look"]
    assert lines[2].startswith("WRONG  port") and "\x1b" not in lines[2]
