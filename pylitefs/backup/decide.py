"""What is to be done for one database, from where it is and where its backup is.

One pure function, as `replication/catchup.py` has one for a replica. LiteFS's own rule:

    neither has a transaction              nothing
    the backup has none                    a snapshot into the backup
    both at the same position              nothing
    this node has no such database         restore
    the backup is ahead                    restore
    same TXID, another checksum            restore
    the next LTX file's pre-apply checksum
      is not the backup's                  restore
    the next LTX file is gone              the whole database into the backup, as its continuation (*)
    otherwise                              the LTX files that continue the backup

(*) LiteFS restores there, and so loses what the node has and the backup has not. An LTX file that continues
the backup and holds every page is as good a continuation, and nobody loses anything.
"""

from dataclasses import dataclass
from enum import Enum

from pylitefs.ltx.position import Pos


class Action(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    SNAPSHOT = "a snapshot"
    FILES = "LTX files"
    WHOLE = "the whole database as a continuation"
    RESTORE = "a restore"


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and why."""

    action: Action
    reason: str


def decide(local: Pos, remote: Pos, next_pre_apply: int | None) -> Decision:
    """`next_pre_apply`: of this node's LTX file that begins one past the backup's TXID; None if it is
    gone."""
    if local.txid == 0 and remote.txid == 0:
        return Decision(Action.NOTHING, "there is no transaction yet")
    if remote.txid == 0:
        return Decision(Action.SNAPSHOT, "the backup has nothing of it")
    if local.txid == 0:
        return Decision(Action.RESTORE, "this node has nothing of it")
    if remote.txid > local.txid:
        return Decision(Action.RESTORE, f"the backup is ahead, at {remote}, and this node at {local}")
    if remote == local:
        return Decision(Action.NOTHING, "the backup is level")
    if remote.txid == local.txid:
        return Decision(
            Action.RESTORE, f"the backup went another way: it is at {remote}, this node at {local}"
        )
    if next_pre_apply is None:
        return Decision(Action.WHOLE, "the LTX file that continues the backup is gone")
    if next_pre_apply != remote.checksum:
        return Decision(
            Action.RESTORE,
            f"the backup went another way: it is at {remote}, this node was at {next_pre_apply:016x} there",
        )
    return Decision(Action.FILES, "they continue the backup")
