"""What a run on a mount says, beside one on a plain folder."""

from tests.sqlite_suite.__main__ import EXPECTED, SUITE
from tests.sqlite_suite.reading import Outcome
from tests.sqlite_suite.verdict import END, Difference, Verdict, differences, judge, load

PLAIN = Outcome(frozenset({"a", "b", "c"}), {"d": "2"}, tests=4)
KNOWN = load("""
- name: no cups
  why: a mount has no cups
  differences:
    - {tests: "plate cup*", cases: [b], gave: "*refused*"}
""")


def test_only_what_passes_on_a_plain_folder_is_a_difference() -> None:
    """`d` fails on both, and `e` is not there on the plain folder."""
    mount = Outcome(frozenset({"a", "c"}), {"b": "7", "d": "3", "e": "4"}, tests=5)
    assert differences(PLAIN, mount) == [Difference("b", "7")]


def test_a_run_that_gave_up_is_a_difference_by_what_it_did_not_reach() -> None:
    given_up = Outcome(frozenset({"a"}), ended="gave up: no room")
    assert differences(PLAIN, given_up) == [Difference(END, "gave up: no room (2 cases not reached)")]
    late = Outcome(frozenset({"a"}), ended="out of time after 60 s")
    assert judge("cup1", "mount", (PLAIN, late), [], KNOWN).verdict is Verdict.NO_END


def test_a_difference_is_expected_by_file_case_and_what_it_gave() -> None:
    refused = Outcome(frozenset({"a", "c"}), {"b": "it was refused"}, tests=4)
    judged = judge("cup1", "mount", (PLAIN, refused), [], KNOWN)
    assert judged.verdict is Verdict.EXPECTED
    assert [difference.case for difference in judged.expected["no cups"]] == ["b"]
    assert judge("plate1", "mount", (PLAIN, refused), [], KNOWN).verdict is Verdict.DIFFERS
    other = Outcome(frozenset({"a", "c"}), {"b": "7"}, tests=4)
    assert judge("cup1", "mount", (PLAIN, other), [], KNOWN).verdict is Verdict.DIFFERS


def test_a_finding_on_the_nodes_counts_whatever_the_test_said() -> None:
    same = Outcome(PLAIN.passed, tests=4)
    assert judge("cup1", "mount", (PLAIN, same), [], KNOWN).verdict is Verdict.PASSES
    assert judge("cup1", "mount", (PLAIN, same), ["n2 is behind"], KNOWN).verdict is Verdict.DIFFERS


def test_a_test_that_passes_nothing_on_a_plain_folder_says_nothing() -> None:
    nothing = Outcome(frozenset(), ended="gave up: not built in")
    assert judge("cup1", "mount", (nothing, nothing), [], KNOWN).verdict is Verdict.SAYS_NOTHING


def test_what_is_expected_has_its_reason_and_a_test_of_the_suite() -> None:
    """expected.yaml as it is in this folder."""
    names = SUITE.read_text().split()
    assert len(names) == len(set(names))
    for entry in load(EXPECTED.read_text()):
        assert len(entry.why.split()) > 5, entry.name
        assert all(test == "*" or set(test) & set("*?") or test in names for test in entry.tests), entry.name
