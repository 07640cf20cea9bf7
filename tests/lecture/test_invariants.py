"""Five sentences, each red at the very entry at which a fault breaks it, and green where none does."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pylitefs.lecture.invariants import SAYS, Invariants, told
from pylitefs.lecture.model import Entry, Json, Term
from pylitefs.lecture.recording import open_recording, packaged

Change = tuple[int, str, str, str]
"""The entry, its name, the state from there on, and why."""


def changes(entries: Sequence[Entry], name: str) -> list[Change]:
    """How one of the five went through a history."""
    found: list[Change] = []
    for entry in told(entries):
        for one in entry.set.get("invariants", ()):
            if one["name"] == name and [one["state"], one["why"]] != list(found[-1][2:] if found else ()):
                found.append((entry.seq, entry.name, one["state"], one["why"]))
    return found


def history(*entries: Entry) -> list[Entry]:
    """These after a cluster of two, numbered."""
    begin = Entry(0, 0.0, "command", "cluster", set={"nodes": ["n1", "n2"]})
    return [replace(entry, seq=seq) for seq, entry in enumerate((begin, *entries))]


def event(name: str, node: str = "n1", txid: int = 0, who: str = "", **detail: Any) -> Entry:
    return Entry(0, 0.0, "event", name, node, "data.db", txid, who, detail=detail)


def ltx(name: str, node: str, txid: int, checksum: int, count: int = 1) -> Entry:
    """An LTX file made or stored, whose pages give the checksum that it promises."""
    entry = event(name, node, txid, post_apply_checksum=f"{checksum:016x}", count=str(count))
    entry.xor = (Term("before", 1), Term("page 2, new", checksum ^ 1), Term("after", checksum))
    return entry


def moved(node: str, txid: int, checksum: int) -> Entry:
    return event("pos.advance", node, txid, checksum=f"{checksum:016x}")


def lock(verb: str, name: str, who: str = "applier") -> Entry:
    return event(f"lock.{verb}", "n2", who=who, lock=name)


def page(pgno: int, txid: int = 1) -> Entry:
    return event("page.apply", "n2", txid, "applier", pgno=pgno)


def test_in_commit_all_that_is_said_of_its_nodes_holds() -> None:
    """One node, no fault: nothing is red or unknown; what needs a replica or a lease is not said."""
    entries = open_recording("commit").entries
    states = {name: [state for _, _, state, _ in changes(entries, name)] for name in SAYS}
    green, nothing = ["holds"], ["none"]
    assert states == {
        "durable": green, "checksum": green, "whole": nothing, "primary": nothing, "acknowledged": green,
    }  # fmt: skip


@pytest.mark.parametrize("lesson", packaged())
def test_what_the_lessons_break_is_red_and_nothing_else(lesson: str) -> None:
    """Of every lesson that is brought along, also those with crashes, leases, HALT locks and a backup."""
    red = {
        "checksum": {"checksum"},
        "split-brain": {"primary", "acknowledged"},
        "asynchronous": {"acknowledged"},
        "fenced": {"acknowledged"},
    }
    entries = open_recording(lesson).entries
    found = {name for name in SAYS if any(state == "broken" for _, _, state, _ in changes(entries, name))}
    assert found == red.get(lesson, set())
    assert not [name for name in SAYS if any(one[2] == "unknown" for one in changes(entries, name))]


def test_an_acknowledged_transaction_is_lost_where_another_leads_without_it() -> None:
    """Ada's payment is on n1 alone; it is red once n2 leads, and stays so: n1 gives it up for a snapshot."""
    entries = open_recording("asynchronous").entries
    _, lost, gone = changes(entries, "acknowledged")
    assert (lost[1], entries[lost[0]].node) == ("lease.acquire", "n2")
    assert lost[2:] == ("broken", "n2 leads without transaction 3 of data.db, which n1 had acknowledged.")
    assert (gone[1], entries[gone[0]].node) == ("ltx.store", "n1")
    assert gone[3] == "No node has transaction 3 of data.db, which n1 had acknowledged, any more."


def test_two_primaries_are_red_from_the_second_one_s_tracepoint_on() -> None:
    """Until the first is stopped. There is no lease in that lesson, and that is said."""
    entries = open_recording("split-brain").entries
    before, both, over = changes(entries, "primary")[:3]
    assert before[2] == "none" and over[1:3] == ("stop", "none")
    assert (both[1], entries[both[0]].node, both[2]) == ("lease.acquire", "n2", "broken")
    assert "n1 and n2 lead at the same time" in both[3] and "no lease here" in both[3]


def test_two_primaries_of_one_lease_are_red() -> None:
    lease: Json = {"lease": {"holder": "n1", "session": "0a0b0c0d", "ttl_s": 10}}
    taken = replace(event("lease.acquire"), set=lease)
    entries = history(taken, event("lease.acquire", "n2"), event("lease.lose"))
    assert [one[:3] for one in changes(entries, "primary")] == [
        (0, "cluster", "none"), (1, "lease.acquire", "holds"),
        (2, "lease.acquire", "broken"), (3, "lease.lose", "holds"),
    ]  # fmt: skip
    assert "in spite of the lease" in changes(entries, "primary")[2][3]


def test_a_bit_that_rots_makes_the_checksum_another_s_until_it_is_found() -> None:
    """Red at the fault itself, with the page; green once the start has summed the file up."""
    entries = open_recording("checksum").entries
    _, rotten, found = changes(entries, "checksum")
    assert (rotten[1], entries[rotten[0]].node, rotten[2]) == ("corrupt", "n2", "broken")
    assert rotten[3].startswith("A bit of page 2 is another on n2's disk")
    assert found[1:3] == ("recovery.end", "holds")


def test_a_damaged_page_that_is_written_anew_is_whole_again() -> None:
    rot = Entry(0, 0.0, "fault", "corrupt", "n2", "data.db", detail={"file": "database", "pgno": 3})
    entries = history(rot, page(2), page(3))
    assert [one[:3] for one in changes(entries, "checksum")][1:] == [
        (1, "corrupt", "broken"),
        (3, "page.apply", "holds"),
    ]


def test_a_position_that_says_another_checksum_than_the_pages_is_red() -> None:
    """At `pos.advance`: against the pages, and against the file where the pages are not told."""
    entries = history(
        ltx("ltx.commit", "n1", 1, 0xAB),
        moved("n1", 1, 0xAB),
        ltx("ltx.store", "n2", 1, 0xAB),
        moved("n2", 1, 0xCD),
    )
    why = "data.db on n2, TXID 1: the position says 00000000000000cd, its pages give 00000000000000ab."
    assert changes(entries, "checksum")[1:] == [(4, "pos.advance", "broken", why)]
    untold = replace(ltx("ltx.commit", "n1", 1, 0xAB), xor=())
    assert "its LTX file says" in changes(history(untold, moved("n1", 1, 0xCD)), "checksum")[-1][3]


def test_what_cannot_be_summed_up_is_not_known() -> None:
    """An LTX file whose bytes are not all told; a damage of which the recording does not say where it is."""
    untold = replace(ltx("ltx.commit", "n1", 1, 0xAB), xor=())
    unknown, again = changes(
        history(untold, moved("n1", 1, 0xAB), ltx("ltx.commit", "n1", 2, 5), moved("n1", 2, 5)), "checksum"
    )[1:]
    assert unknown[:3] == (2, "pos.advance", "unknown") and again[:3] == (4, "pos.advance", "holds")
    old = Entry(0, 0.0, "fault", "corrupt", "n2", text="On n2 byte 7 of database was 0x01 and is 0x00")
    assert changes(history(old), "checksum")[-1][2] == "unknown"


def test_a_position_that_moves_before_its_file_is_durable_is_red_for_good() -> None:
    """The order that `ltx.commit` is there for, turned round as by a node that syncs too late."""
    entries = history(moved("n1", 1, 0xAB), ltx("ltx.commit", "n1", 1, 0xAB))
    _, early = changes(entries, "durable")
    assert early[:3] == (1, "pos.advance", "broken") and "data.db on n1 went to TXID 1" in early[3]


def test_another_node_s_file_does_not_make_a_position_durable() -> None:
    entries = history(ltx("ltx.commit", "n1", 1, 1), moved("n1", 1, 1), moved("n2", 1, 1))
    assert [one[:3] for one in changes(entries, "durable")][1:] == [(3, "pos.advance", "broken")]


def test_a_damaged_file_of_the_position_is_red_until_there_is_a_newer_one() -> None:
    name = f"{1:016x}-{1:016x}.ltx"
    rot = Entry(0, 0.0, "fault", "corrupt", "n1", "data.db", detail={"file": name, "offset": 7})
    entries = history(
        ltx("ltx.commit", "n1", 1, 1),
        moved("n1", 1, 1),
        rot,
        ltx("ltx.commit", "n1", 2, 2),
        moved("n1", 2, 2),
    )
    assert [one[:3] for one in changes(entries, "durable")][1:] == [
        (3, "corrupt", "broken"),
        (5, "pos.advance", "holds"),
    ]


STORED = ltx("ltx.store", "n2", 1, 0xAB, count=2)


def test_a_whole_transaction_under_locks_is_green() -> None:
    """Also one that a kill cuts in two: its rest is replayed before anybody can read."""
    begin = [STORED, lock("acquire", "EXCLUSIVE"), page(1)]
    assert (
        len(
            changes(
                history(*begin, page(2), lock("release", "SHARED"), event("page.apply", "n2", 1, pages=2)),
                "whole",
            )
        )
        == 1
    )
    killed = history(*begin, event("recovery.ltx", "n2", 1), event("recovery.end", "n2", 1))
    assert len(changes(killed, "whole")) == 1


def test_locks_that_end_between_two_pages_show_half_a_transaction() -> None:
    """Red at the release, until the rest is in."""
    entries = history(
        STORED, page(1), lock("release", "WRITE+CKPT"), page(2), event("page.apply", "n2", 1, pages=2)
    )
    broken, whole = changes(entries, "whole")[1:]
    assert broken[:3] == (3, "lock.release", "broken")
    assert broken[3].startswith("On n2 the applier let its locks go with 1 of 2 pages of transaction 1 in:")
    assert whole[:3] == (5, "page.apply", "holds")


def test_a_reader_that_gets_in_between_two_pages_sees_half_a_transaction() -> None:
    entries = history(STORED, page(1), lock("acquire", "READ1", "reader n2/a (pid 7)"))
    assert changes(entries, "whole")[-1][:3] == (3, "lock.acquire", "broken")


def test_half_a_transaction_that_nothing_replays_is_red() -> None:
    entries = history(STORED, page(1), event("recovery.begin", "n2"), event("recovery.end", "n2", 1))
    assert changes(entries, "whole")[-1][:3] == (4, "recovery.end", "broken")


def test_where_the_file_s_pages_are_not_told_half_or_whole_is_not_known() -> None:
    entries = history(page(1), lock("release", "WRITE"))
    assert changes(entries, "whole")[-1][:3] == (2, "lock.release", "unknown")


def test_a_recording_s_own_verdicts_are_not_believed() -> None:
    """Nor are those of the nodes before `cluster`."""
    lie: Json = {"invariants": [{"name": "durable", "state": "holds"}], "mode": "running"}
    first, early, second = told(
        [*history(replace(moved("n1", 1, 1), set=lie)), Entry(2, 0.0, "command", "cluster")]
    )
    assert early.set["invariants"][0]["state"] == "broken"
    assert first.set["invariants"][0]["says"] == SAYS["durable"][1] and early.set["mode"] == "running"
    assert second.set == {}


def test_the_entry_at_which_it_broke_is_kept_while_the_reason_changes() -> None:
    """It is where a click leads to."""
    found = Invariants()
    ats = [
        one["at"]
        for entry in open_recording("asynchronous").entries
        for one in found.after(entry).get("invariants", ())
        if one["state"] == "broken"
    ]
    assert len(ats) == 2 and len(set(ats)) == 1
