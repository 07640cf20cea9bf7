"""How the tests read what the doctor found."""

from collections.abc import Iterable

from pylitefs.doctor.finding import Finding, Verdict


def only(findings: Iterable[Finding], verdict: Verdict) -> str:
    """The text of the one finding that there is, which has this verdict."""
    (finding,) = findings
    assert finding.verdict is verdict, finding
    return finding.text


def wrong(findings: Iterable[Finding]) -> str:
    return only(findings, Verdict.WRONG)


def fine(findings: Iterable[Finding]) -> str:
    return only(findings, Verdict.OK)


def noted(findings: Iterable[Finding]) -> str:
    return only(findings, Verdict.NOTE)
