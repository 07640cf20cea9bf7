"""One sentence for each tracepoint, with its numbers; explain.py says which belongs to which.

The rule: a sentence leaves out what its event does not say, and never fails for want of it.
"""

from pylitefs.lecture.history.facts import Facts, bytes_text, count_text


def journal_write(facts: Facts) -> str:
    pgno, offset, length = facts.number("pgno"), facts.number("offset"), facts.number("length")
    parts = facts.text("parts")
    if facts.flag("zeroed"):
        return "SQLite wrote zeros over the journal's header: this journal rolls nothing back any more."
    if length == 12 and not pgno:
        return (
            f"SQLite wrote magic and record count into the journal's header at offset {offset:,}: "
            "once that is synced the journal is hot, and a crash would be rolled back."
        )
    if parts == "header" or (offset == 0 and not pgno):
        return f"SQLite began a segment of the rollback journal with its header: {facts.place}."
    if not pgno:
        return f"SQLite wrote {facts.place} of the rollback journal."
    if parts == "page number":
        return f"SQLite began the journal's record of page {pgno} with its number: {facts.place}."
    if parts == "checksum":
        return f"SQLite ended the journal's record of page {pgno} with its checksum: {facts.place}."
    return f"SQLite copied page {pgno}, as it was before, into the rollback journal: {facts.place}."


def journal_sync(facts: Facts) -> str:
    if facts.text("header") == "zero":
        return (
            "The journal's records are on the disk. Its header does not count them yet, so after a crash "
            "here nothing would be rolled back, and nothing need be."
        )
    if facts.text("header") == "ended":
        return "The journal's end is on the disk: the transaction stays committed, whatever happens now."
    return (
        "The rollback journal is on the disk, and its header counts its records: it is hot. "
        "Only now may SQLite touch the database file."
    )


def journal_invalidate(facts: Facts) -> str:
    how = {
        "unlink": "unlinked",
        "delete": "unlinked",
        "truncate": "truncated to 0 bytes",
        "persist": "given a header of zeros",
        "zero": "given a header of zeros",
    }.get(facts.text("how"), "ended")
    if "live" in facts.payload and not facts.flag("live"):
        return (
            f"The rollback journal is about to be {how}, and its header was never valid: no page of the "
            "database was written, so this is no transaction."
        )
    return (
        f"The rollback journal is about to be {how}: the commit point of whatever has changed. A crash here "
        f"still rolls back, and after it none does. {facts.node} captures what changed of the pages that "
        "were written, before SQLite gets its answer."
    )


def page_write(facts: Facts) -> str:
    page = f"page {facts.number('pgno')}" if facts.number("pgno") else "a part"
    if facts.flag("checkpoint"):
        return f"A checkpoint copied {page} from the WAL into the database file: {facts.place}."
    return f"SQLite wrote {page} of the database file: {facts.place}."


def wal_frame(facts: Facts) -> str:
    pgno, offset = facts.number("pgno"), facts.number("offset")
    frame, parts, commit = facts.number("frame"), facts.text("parts"), facts.number("commit")
    if offset == 0 or parts == "header":
        return "SQLite wrote the WAL's header, with new salts: frames of an earlier round count no more."
    if not pgno:
        return f"SQLite appended {facts.place} to the WAL."
    which = f"frame {frame} of the WAL" if frame else "a frame of the WAL"
    ends = f" It is a commit frame, with a page count of {commit}." if commit else ""
    if parts == "frame header" or facts.number("length") == 24:
        return f"SQLite wrote the header of {which}, for page {pgno}: {facts.place}.{ends}"
    if parts == "page":
        part = "a part of " if facts.flag("part") else ""
        page = f"{part}page {pgno}, as the transaction leaves it,"
        return f"SQLite wrote {page} into {which}: {facts.place}.{ends}"
    return f"SQLite wrote {which} with page {pgno}: {facts.place}.{ends}"


def wal_commit(facts: Facts) -> str:
    first, last = facts.number("first"), facts.number("last")
    frames = f"frame {last} is" if first == last else f"frames {first} to {last} are"
    return (
        f"Salts and checksums hold up to frame {last}, a commit frame: {frames} transaction {facts.txid}. "
        f"SQLite has not published it in the WAL index yet, so no reader sees it."
    )


def ltx_encode(facts: Facts) -> str:
    if facts.number("commit") == 0 and not facts.pgnos and "commit" in facts.payload:
        return f"Transaction {facts.txid} drops the database: an LTX file without a page."
    return (
        f"{facts.pages.capitalize()} went into the LTX file of transaction {facts.txid}, which leaves the "
        f"database with {count_text(facts.number('commit'), 'page')}. Nothing of it is durable yet."
    )


def ltx_commit(facts: Facts) -> str:
    size = f", {bytes_text(facts.number('size'))}" if facts.number("size") else ""
    return (
        f"The LTX file {facts.file or 'of the transaction'}{size} with {facts.pages} is synced under its "
        f"final name: from here on transaction {facts.txid} survives a crash."
    )


def pos_advance(facts: Facts) -> str:
    checksum = facts.payload.get("checksum")
    text = f"{checksum:016x}" if isinstance(checksum, int) else str(checksum or "")
    at = f", checksum {text}" if text else ""
    pages = f", {count_text(facts.number('pages'), 'page')}" if facts.number("pages") else ""
    return f"{facts.database} on {facts.node} is at TXID {facts.txid}{at}{pages}."


def frame_words(kind: str) -> str:
    """A stream frame's kind, as the tracepoints name it, for people."""
    known = {
        "ltx": "an LTX frame",
        "ltx:snapshot": "an LTX frame with a snapshot",
        "ready": "Ready",
        "end": "End",
        "drop-db": "DropDB",
        "handoff": "Handoff",
        "hwm": "a high-water mark",
        "high-water-mark": "a high-water mark",
        "heartbeat": "a Heartbeat",
    }
    return known.get(kind, f"a frame ({kind})" if kind else "a frame")


def stream_send(facts: Facts) -> str:
    size = f" ({bytes_text(facts.number('size'))})" if facts.number("size") else ""
    return f"{facts.node} is about to send {_frame(facts)} to {facts.peer or 'a replica'}{size}."


def stream_receive(facts: Facts) -> str:
    return f"{facts.node} receives {_frame(facts)} from {facts.peer or 'the primary'}."


def _frame(facts: Facts) -> str:
    """The frame, and which transaction it carries."""
    kind = facts.text("frame")
    if not facts.txid:
        return frame_words(kind) + (f" of {facts.database}" if facts.database else "")
    at = "at TXID" if kind.endswith("snapshot") else "transaction"
    return f"{frame_words(kind)} of {facts.database}, {at} {facts.txid},"


def stream_end(facts: Facts) -> str:
    reason = facts.text("reason")
    return f"The stream to {facts.peer or 'a replica'} ended{': ' + reason if reason else ''}."


def catchup_decide(facts: Facts) -> str:
    gets = {"nothing": "gets nothing", "files": "gets LTX files", "snapshot": "gets a snapshot"}.get(
        facts.text("decision"), "was looked at"
    )
    reason, checksum = facts.text("reason"), facts.text("position").partition("/")[2]
    text = f"{facts.peer or 'The replica'} {gets} of {facts.database}{': ' + reason if reason else ''}."
    if facts.text("decision") == "files" and checksum:
        # Of any other checksum the primary would have sent a snapshot.
        whose = f"{facts.peer or 'The replica'}'s checksum"
        text += f" {whose} is {checksum}, and the next file's pre-apply checksum is the same."
    return text


def ltx_verify(facts: Facts) -> str:
    size = f"{bytes_text(facts.number('size'))}, " if facts.number("size") else ""
    return (
        f"{facts.node} read the LTX file of transaction {facts.txid} to its end ({size}{facts.pages}): "
        "its file checksum holds. No page has been touched."
    )


def ltx_store(facts: Facts) -> str:
    if facts.flag("snapshot"):
        return (
            f"{facts.node} keeps {facts.file or 'the LTX file'}, synced: a snapshot, so it replaces whatever "
            "was here. Its pages give the checksum that it promises. After a crash it is replayed."
        )
    return (
        f"{facts.node} keeps {facts.file or 'the LTX file'}, synced: it continues this database's position, "
        "and its pages would give the checksum it promises. After a crash it is replayed."
    )


def page_apply(facts: Facts) -> str:
    if facts.number("pgno"):
        return (
            f"The applier wrote page {facts.number('pgno')} through the mount, under SQLite's locks: "
            f"{facts.place}."
        )
    waited = facts.number("waited_ms")
    readers = f" It had waited {waited} ms for readers." if waited else ""
    return (
        f"The applier wrote {facts.pages} of transaction {facts.txid} through the mount and released its "
        f"locks: new readers see all of it.{readers}"
    )


def recovery_ltx(facts: Facts) -> str:
    dropped = facts.text("dropped").rpartition("/")[2]
    if dropped:
        return f"{dropped} was not written to its end, so it was never acknowledged: it is dropped."
    files = count_text(facts.number("files"), "LTX file")
    return f"The database file was not at TXID {facts.txid}: {files} replayed, {facts.pages} written."


def recovery_wal(facts: Facts) -> str:
    ahead = facts.number("ahead")
    frames = count_text(facts.number("frames"), "frame")
    more = f"; past them, {count_text(ahead, 'frame')} never acknowledged: cut off" if ahead else ""
    return f"Of the WAL {frames} are transactions with an LTX file{more}."


def lease_ask(facts: Facts) -> str:
    if facts.flag("handed"):
        return f"{facts.node} was handed the lease, and is about to take it over. Nobody is the primary now."
    return (
        f"{facts.node} was told by the lease service that nobody has the lease, and is about to ask for it. "
        "If another one asks first, that one gets it."
    )


def lease_acquire(facts: Facts) -> str:
    ttl = facts.text("ttl")
    lasts = f" has the lease, for {float(ttl):g} s unless it renews it. It" if ttl else ""
    return f"{facts.node}{lasts} is the primary: it alone takes writes."


def lease_renew(facts: Facts) -> str:
    ttl = facts.text("ttl")
    return f"{facts.node} renewed its lease{f': it has it for {float(ttl):g} s from now' if ttl else ''}."


def lease_lose(facts: Facts) -> str:
    why = facts.text("why")
    how = f" ({why})" if why else ""
    return (
        f"{facts.node} has the lease no longer{how}. So it is not the primary any more, and takes no write."
    )


def halt_acquire(facts: Facts) -> str:
    if "primary" in facts.payload:
        return (
            f"{facts.node} has the HALT lock of {facts.database}, and is at TXID {facts.txid}, as the "
            "primary is. From now on programs here may write."
        )
    return (
        f"{facts.node} gives {facts.peer or 'a replica'} the HALT lock of {facts.database}, at TXID "
        f"{facts.txid}. It holds its own writers' lock, so nobody writes here meanwhile."
    )


def halt_release(facts: Facts) -> str:
    why = facts.text("why")
    how = f": {why}" if why else ""
    if "primary" in facts.payload:
        return f"The HALT lock of {facts.database} that {facts.node} had is over{how}. It takes no write now."
    whose = f" of {facts.peer}" if facts.peer else ""
    return f"The HALT lock{whose} is over{how}. Programs on {facts.node} may write {facts.database} again."


def refused(facts: Facts) -> str:
    why, remedy = facts.text("why"), facts.text("remedy")
    return f"{facts.node} refused {facts.text('what') or 'an operation'}{': ' + why if why else ''}." + (
        f" What to do: {remedy}." if remedy else ""
    )


_LOCKS = {
    "SHARED": "it reads, and nobody may write the database file meanwhile",
    "RESERVED": "it means to write; readers may still come and go",
    "PENDING": "no new reader may begin; it waits for those that are there",
    "EXCLUSIVE": "it alone may touch the database file",
    "WRITE": "it is the one writer of the WAL",
    "CKPT": "it is the one that may checkpoint",
    "RECOVER": "it may rebuild the WAL index",
    "DMS": "it has the WAL index open (the dead man's switch)",
}


_OF_ONE_KIND = {"SHARED", "EXCLUSIVE", "RESERVED", "WRITE", "CKPT", "RECOVER"}


def lock_words(lock: str, kind: str = "") -> str:
    """What holding a lock means; `kind` is read or write, or "" for what the lock is usually held for."""
    if lock.startswith("READ") and lock[4:].isdigit():
        if kind == "write":
            return f"no reader goes by read mark {lock[4:]}, so it may be changed"
        return f"it reads up to the frame in read mark {lock[4:]}"
    if lock == "PENDING" and kind == "read":
        return "a reader takes it in passing; where a writer waits, it gets no further"
    if lock == "DMS" and kind == "write":
        return "nobody else has the WAL index open"
    return _LOCKS.get(lock, "")


def _together(locks: str) -> str:
    """What holding several of the WAL index's locks means."""
    names = set(locks.split("+"))
    if {"WRITE", "CKPT", "READ4"} <= names:
        return "no writer, no checkpoint and no reader gets past it"
    return "no reader goes by these read marks" if "READ1" in names else ""


def lock_acquire(facts: Facts) -> str:
    lock, before = facts.text("lock") or "a lock", facts.text("before")
    words = _together(lock) if "+" in lock else lock_words(lock, facts.text("kind"))
    took = f"took {lock.replace('+', ', ')}"
    if before and before != lock:
        took = f"went from {before} to {lock}"
    elif lock not in _OF_ONE_KIND:
        took += ", shared" if facts.text("kind") == "read" else ", exclusively"
    return f"{facts.actor} {took}{': ' + words if words else ''}."


def lock_release(facts: Facts) -> str:
    return f"{facts.actor} released {facts.text('lock').replace('+', ', ') or 'its locks'}."


def lock_busy(facts: Facts) -> str:
    holder, lock = facts.text("holder"), facts.text("lock").replace("+", ", ") or "a lock"
    return (
        f"{facts.actor} asked for {lock} and was turned away"
        f"{': ' + holder + ' holds it' if holder else ''}. With a busy timeout SQLite tries again, without "
        'one it says "database is locked".'
    )
