"""What counts as known, and what as the consequence of a difference."""

import fnmatch

import pytest

from pylitefs.compare.findings import Findings, KnownDifferencesError, known_differences
from pylitefs.compare.workload import all_workloads

ENTRY = """
- name: one
  workloads: [a*]
  right: pylitefs
  why: because
  differences:
    - {aspect: result, ours: "[[]*"}
"""


def test_an_entry_explains_only_what_it_names() -> None:
    known = known_differences(ENTRY)
    cases = (("ab", "[[1]]", "known"), ("ab", "error", "unknown"), ("b", "[]", "unknown"))
    for workload, ours, state in cases:
        findings = Findings(workload)
        assert not findings.same("result", "x", (ours, "y"))
        findings.explain(known)
        assert findings.differences[0].state == state


def test_what_follows_is_a_consequence() -> None:
    findings = Findings("w")
    assert findings.same("a", "x", (1, 1))
    findings.same("b", "x", (1, 2), follows=True)
    assert (findings.equal["a"], findings.count("consequence"), findings.count("unknown")) == (1, 1, 0)


def test_every_entry_names_workloads_that_there_are() -> None:
    names = {workload.name for workload in all_workloads()}
    for entry in known_differences():
        assert all(fnmatch.filter(names, pattern) for pattern in entry.workloads), entry.name
        assert len(entry.why) > 40 and entry.patterns, entry.name


def test_an_entry_that_lacks_something_is_named() -> None:
    with pytest.raises(KnownDifferencesError, match="'one' lacks why"):
        known_differences(ENTRY.replace("  why: because\n", ""))
    with pytest.raises(KnownDifferencesError, match="lacks `right`"):
        known_differences(ENTRY.replace("right: pylitefs", "right: nobody"))


def test_no_entry_allows_pylitefs_an_error_where_litefs_falls_short() -> None:
    """Where anything may come from the other side, ours must still be rows and a whole database."""
    for entry in known_differences():
        if entry.right == "pylitefs" and len(entry.patterns) > 10:
            findings = Findings(entry.workloads[0])
            findings.same("result", "SELECT 1", ("SQLITE_IOERR: disk I/O error", "[[1]]"))
            findings.same("integrity", "the end", ("SQLITE_CORRUPT: malformed", "[['ok']]"))
            findings.same("replica follows", "the end", ("ENOENT", "follows"))
            findings.explain([entry])
            assert findings.count("unknown") == 3, entry.name
