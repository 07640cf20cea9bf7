"""What was told to be committed, and which node has it: by TXID and checksum together."""

from typing import Any

from pylitefs.lecture.acknowledged import Acknowledged
from pylitefs.lecture.model import Entry

SHELL = "writer n1/a (pid 7)"


def event(name: str, node: str, txid: int = 0, checksum: int = 0, who: str = SHELL, **detail: Any) -> Entry:
    told = {"post_apply_checksum": f"{checksum:x}", "checksum": f"{checksum:x}"} if checksum else {}
    return Entry(0, 0.0, "event", name, node, "data.db", txid, who, detail={**told, **detail})


def done(name: str = "done", shell: str = "n1/a") -> Entry:
    return Entry(
        0, 0.0, "sql", name, set={f"sql/{shell}": {"sql": "", "state": name, "result": "", "pid": 7}}
    )


def after(*entries: tuple[Entry, set[str]]) -> Acknowledged:
    found = Acknowledged()
    for entry, leads in entries:
        found.take(entry, leads)
    return found


FIRST = (event("ltx.commit", "n1", 1, 0xA), {"n1"})


def test_what_ended_with_an_error_was_not_acknowledged() -> None:
    """Nor what another program committed: of that nobody knows whether it was told."""
    for told in (done("error"), done(shell="n1/b")):
        found = after(FIRST, (told, {"n1"}), (event("lease.acquire", "n2"), {"n2"}))
        assert (found.lost, found.unsure) == ("", "")


def test_who_leads_without_it_has_lost_it() -> None:
    found = after(FIRST, (done(), {"n1"}), (event("lease.acquire", "n2"), {"n2"}))
    assert found.lost == "n2 leads without transaction 1 of data.db, which n1 had acknowledged."
    back = [
        FIRST,
        (done(), {"n1"}),
        (event("lease.acquire", "n2"), {"n2"}),
        (event("lease.acquire", "n1"), {"n1"}),
    ]
    assert after(*back).lost == "", "n1 has it, and leads again"


def test_the_same_txid_with_another_checksum_is_another_transaction() -> None:
    other = (event("ltx.store", "n2", 1, 0xB), {"n1"})
    assert (
        "n2 leads without"
        in after(FIRST, (done(), {"n1"}), other, (event("lease.acquire", "n2"), {"n2"})).lost
    )


def test_a_snapshot_brings_what_went_before_it() -> None:
    """Of a node that has been where it leads to; of one of unknown past it is not known what went before."""
    second = (event("ltx.commit", "n1", 2, 0xB), {"n1"})
    begin = [FIRST, (done(), {"n1"}), second]
    leads = (event("lease.acquire", "n2"), {"n2"})
    known = after(*begin, (event("ltx.store", "n2", 2, 0xB, snapshot=True), {"n1"}), leads)
    assert (known.lost, known.unsure) == ("", "")
    unknown = after(*begin, (event("ltx.store", "n2", 2, 0xC, snapshot=True), {"n1"}), leads)
    assert unknown.lost == "" and "is not told" in unknown.unsure


def test_what_a_recovery_cuts_off_is_on_no_node_any_more() -> None:
    """And stays lost, also where a transaction is made anew that looks the same."""
    begin = [FIRST, (done(), {"n1"}), (event("recovery.end", "n1", 0), set[str]())]
    assert after(*begin).lost == "No node has transaction 1 of data.db, which n1 had acknowledged, any more."
    assert after(*begin, FIRST, (done(), {"n1"})).lost
