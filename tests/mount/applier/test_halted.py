"""What the node says to the applier while a replica has a HALT lock; what that does is in test_halting.py."""

from pathlib import Path

from pylitefs.mount.applier.halted import HaltedDatabase
from pylitefs.mount.applier.messages import Message
from pylitefs.store.applying import KnownWal


def test_an_apply_is_asked_for_on_the_lock_s_channel_and_traced() -> None:
    asked: list[Message] = []
    traced: list[tuple[str, Message]] = []

    def call(message: Message, database: str) -> Message:
        asked.append(message)
        return {"txid": 2}

    HaltedDatabase("a.db", lambda name, answer: traced.append((name, answer)), call).apply(
        Path("/x.ltx"), timeout=3.0, verified=True, known=KnownWal(1, 2, 3)
    )
    wanted = {"op": "apply_halted", "db": "a.db", "path": "/x.ltx", "timeout": 3.0, "verified": True}
    assert asked == [{**wanted, "known": (1, 2, 3)}] and traced == [("a.db", {"txid": 2})]
