"""The words: what each tracepoint means, told with its numbers, and what SQLite alone would do there.

The rule: every name in `trace.TRACEPOINTS` has an `Explanation`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pylitefs.lecture.history import sentences as say
from pylitefs.lecture.history.facts import Facts


@dataclass(frozen=True, slots=True)
class Explanation:
    """A tracepoint in words."""

    title: str
    """A few words, for a heading or a legend."""
    sentence: Callable[[Facts], str]
    alone: str = ""
    """What SQLite alone, without LiteFS, would do at this step; "" where nothing is to say."""


_NO_SHIPPING = "SQLite alone keeps its transactions to itself; a second machine would see nothing of them."

EXPLANATIONS: Mapping[str, Explanation] = {
    "lock.acquire": Explanation(
        "A lock is taken",
        say.lock_acquire,
        "The same fcntl lock, on the same byte: the kernel decides either way.",
    ),
    "lock.release": Explanation("A lock is released", say.lock_release, "The same."),
    "lock.busy": Explanation(
        "A lock is refused", say.lock_busy, "The same: the lock's holder is just another connection."
    ),
    "journal.open": Explanation(
        "Journal opened",
        lambda facts: (
            f"{facts.actor} made the rollback journal {facts.database}-journal: a write "
            "transaction has begun to change pages."
        ),
        "The same: the journal is SQLite's own. LiteFS only watches it.",
    ),
    "journal.write": Explanation(
        "Journal written",
        say.journal_write,
        "The same. With this copy SQLite can undo what it does to the database file next.",
    ),
    "journal.sync": Explanation(
        "Journal synced",
        say.journal_sync,
        "The same; synchronous=OFF leaves the syncs out.",
    ),
    "journal.invalidate": Explanation(
        "Journal about to end: the commit point",
        say.journal_invalidate,
        "Once the journal has ended the transaction is committed, and SQLite alone has no more to do.",
    ),
    "page.write": Explanation(
        "Page written",
        say.page_write,
        "The same. If the power failed now, the journal would bring the old page back.",
    ),
    "wal.frame": Explanation(
        "WAL written",
        say.wal_frame,
        "The same: in WAL mode the database file stays as it is, and new pages are appended to the WAL.",
    ),
    "wal.commit": Explanation(
        "Commit frame complete",
        say.wal_commit,
        "SQLite publishes the frame by raising mxFrame in the WAL index, and the commit is done.",
    ),
    "tx.rollback": Explanation(
        "Nothing changed",
        lambda facts: (
            f"The write ended and every page is what it was: no LTX file, and {facts.database} "
            f"stays at TXID {facts.txid}. A rollback is silence."
        ),
        "The same: a rolled back transaction leaves nothing.",
    ),
    "ltx.encode": Explanation(
        "LTX file packed", say.ltx_encode, "SQLite keeps no record of which pages a transaction changed."
    ),
    "ltx.commit": Explanation(
        "LTX file durable",
        say.ltx_commit,
        "SQLite alone keeps no such file: once the journal ends, nothing tells any more what was changed.",
    ),
    "pos.advance": Explanation(
        "Position moves",
        say.pos_advance,
        "SQLite counts changes in the database header (the change counter); it has no checksum of the whole.",
    ),
    "stream.connect": Explanation(
        "A replica connects",
        lambda facts: (
            f"{facts.peer or 'A replica'} asks {facts.node} for everything that continues its positions."
        ),
        _NO_SHIPPING,
    ),
    "stream.send": Explanation("A frame is about to be sent", say.stream_send, _NO_SHIPPING),
    "stream.receive": Explanation("A frame is received", say.stream_receive, _NO_SHIPPING),
    "stream.end": Explanation("A stream ends", say.stream_end),
    "catchup.decide": Explanation("What the replica gets", say.catchup_decide, _NO_SHIPPING),
    "ltx.verify": Explanation(
        "LTX file verified",
        say.ltx_verify,
        "SQLite trusts its disk: it has no checksum of a page, unless an extension adds one.",
    ),
    "ltx.store": Explanation("LTX file kept", say.ltx_store, _NO_SHIPPING),
    "page.apply": Explanation(
        "Page applied",
        say.page_apply,
        "To SQLite's readers here the applier is one more process that writes the database.",
    ),
    "snapshot.begin": Explanation(
        "Snapshot begins",
        lambda facts: (
            f"{facts.node} is about to copy {facts.database} at TXID {facts.txid} as one transaction."
        ),
        "VACUUM INTO or the backup API copy a database in the same way, under a reader's lock.",
    ),
    "snapshot.end": Explanation(
        "Snapshot copied",
        lambda facts: (
            f"{facts.node} has copied {facts.pages} of {facts.database} at TXID {facts.txid} and "
            "holds no lock any more."
        ),
        "VACUUM INTO or the backup API copy a database in the same way, under a reader's lock.",
    ),
    "lease.ask": Explanation("About to ask for the lease", say.lease_ask),
    "lease.acquire": Explanation(
        "Became the primary",
        say.lease_acquire,
        "SQLite knows no primary: whoever can open the file may write it.",
    ),
    "lease.renew": Explanation("Lease renewed", say.lease_renew),
    "lease.lose": Explanation("Lease lost", say.lease_lose),
    "lease.handoff": Explanation(
        "Lease handed on",
        lambda facts: (
            f"{facts.node} has handed its lease to {facts.peer or 'another node'}, which has all that was "
            f"committed here. {facts.node} follows now."
        ),
    ),
    "halt.request": Explanation(
        "HALT lock wanted",
        lambda facts: (
            f"{facts.node} is about to ask the primary for the HALT lock of {facts.database}: POST /halt."
        ),
        "A writer takes RESERVED: here it has to be the only writer of all nodes.",
    ),
    "halt.acquire": Explanation(
        "HALT lock taken",
        say.halt_acquire,
        "A writer that has RESERVED keeps the other writers out, on one machine.",
    ),
    "tx.forward": Explanation(
        "Transaction forwarded",
        lambda facts: (
            f"{facts.node} is about to send transaction {facts.txid} of {facts.database} to the primary: "
            "it is one once that has it."
        ),
        "The commit waits for the disk, and for nobody else.",
    ),
    "halt.tx": Explanation(
        "Transaction of the HALT lock's holder taken in",
        lambda facts: (
            f"{facts.node} has transaction {facts.txid} of {facts.database}, made on "
            f"{facts.peer or 'a replica'}: stored, applied, and told to everybody."
        ),
    ),
    "halt.release": Explanation("HALT lock over", say.halt_release),
    "retention.reap": Explanation(
        "LTX file removed",
        lambda facts: (
            f"The LTX file up to TXID {facts.txid} is past its retention and gone: a replica that "
            "still needs it gets a snapshot."
        ),
        "SQLite alone keeps no past at all.",
    ),
    "recovery.begin": Explanation(
        "Recovery begins",
        lambda facts: (
            f"{facts.node} looks at what the last run left of {facts.database}, before anyone opens it."
        ),
        "The first connection to a database looks for a hot journal or a WAL.",
    ),
    "recovery.journal": Explanation(
        "Hot journal rolled back",
        lambda facts: (
            f"A journal with a valid header was there: {facts.pages} of {facts.database} are again "
            "what they were before the transaction."
        ),
        "The same: SQLite rolls a hot journal back when the database is next opened.",
    ),
    "recovery.wal": Explanation(
        "WAL cut back",
        say.recovery_wal,
        "SQLite alone keeps every frame up to the last commit frame whose checksum holds.",
    ),
    "recovery.ltx": Explanation("LTX files dropped or replayed", say.recovery_ltx),
    "recovery.end": Explanation(
        "Recovery ends",
        lambda facts: f"{facts.database} on {facts.node} is whole, at TXID {facts.txid}.",
        "SQLite alone is done once the journal is rolled back, or the WAL index rebuilt.",
    ),
    "fault.refused": Explanation("Refused", say.refused),
    "fault.applier": Explanation(
        "The applier ended",
        lambda facts: (
            f"{facts.node}'s applier ended and was started again"
            + (f" while it applied {facts.text('applying')}." if facts.text("applying") else ".")
        ),
    ),
}


def title(name: str) -> str:
    """A tracepoint's heading; its own name if there is none."""
    found = EXPLANATIONS.get(name)
    return found.title if found else name


def explain(name: str, facts: Facts) -> tuple[str, str]:
    """(what happened, what SQLite alone would do), for people."""
    found = EXPLANATIONS.get(name)
    return (found.sentence(facts), found.alone) if found else (name, "")
