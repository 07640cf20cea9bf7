"""What a primary's stream tells a lecture, where nobody waits for it.

The rule: a gate may hold whoever emits, and a stream that is over must not be held.
"""

import threading

from pylitefs.ltx.header import format_txid
from pylitefs.ltx.position import Pos
from pylitefs.replication import catchup
from pylitefs.trace import Tracer


def aside(name: str, tracer: Tracer, data: bytes = b"", **payload: object) -> None:
    """Emit in a thread of its own, without waiting."""
    if tracer.active:
        threading.Thread(target=tracer.emit_bytes, args=(data, name, "", 0, payload), daemon=True).start()


def decided(
    peer: str,
    decision: catchup.Decision,
    position: Pos,
    primary: Pos = Pos(),
    file: catchup.NextFile | None = None,
) -> dict[str, str]:
    """The payload of `catchup.decide`; `file` is the next LTX file, and what it continues."""
    return {
        "peer": peer,
        "decision": type(decision).__name__.lower(),
        "reason": decision.reason,
        "position": str(position),
        "primary": str(primary),
        "next": f"{format_txid(file.min_txid)}/{file.pre_apply_checksum:016x}" if file else "",
    }
