"""What a lesson does by LTX files: a node's history, rows before and after, undo; a backup and its restore.

The rule: it is what `pylitefs history`, `ltx diff`, `ltx verify` and `ltx restore` do, on the node's own
files or on copies of them. The backup is a folder of the lecture's own; nothing else is touched.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.errors import LessonError, PylitefsError, RestoreError
from pylitefs.http import client
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.lecture.model import Entry
from pylitefs.ltx.audit import audit
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import format_filename
from pylitefs.ltx.restore import restore_files
from pylitefs.ltx.source import open_source, plan_source
from pylitefs.ltx.timeline import Timeline, open_timeline
from pylitefs.rows.difference import Difference, difference
from pylitefs.rows.history import HistoryLine, history
from pylitefs.rows.script import row_statements, script


class Histories:
    """The command `ltx`."""

    def __init__(self, scene: Scene, shells: Shells, settling: Settling) -> None:
        self._scene = scene
        self._shells = shells
        self._settling = settling
        self.doing: Mapping[type[Command], Callable[..., None]] = {commands.Ltx: self._ltx}

    def _ltx(self, command: commands.Ltx) -> None:
        node = self._scene.nodes.node(command.node)
        self._scene.born += 1
        do: dict[str, Callable[[ClusterNode, int], str]] = {
            "history": self._history,
            "diff": self._diff,
            "undo": self._undo,
            "backup": self._backup,
            "hole": self._hole,
            "verify": self._verify,
            "restore": self._restore,
        }
        text = do[command.what](node, command.txid)
        entry = Entry(0, 0.0, "note", f"ltx.{command.what}", command.node, DATABASE, text=text)
        # The tab Rows shows the transaction that is told of: of `undo` and `restore` it is the new one.
        self._scene.tell_of(command.txid if command.what == "diff" else 0, entry)
        self._settling.settle()

    # Of the node

    def _history(self, node: ClusterNode, _: int) -> str:
        with open_timeline(_folder(node)) as timeline:
            lines = list(history(timeline))
        told = ". ".join(f"`{one.file.max_txid}` {_told(one)}" for one in lines)
        return f"The history of {DATABASE} on {node.name}, by its LTX files: {told}."

    def _diff(self, node: ClusterNode, txid: int) -> str:
        with open_timeline(_folder(node)) as timeline:
            found = _step(timeline, txid)
            changes = [
                f"{pair.name} {', '.join(found.key(pair, one))} {one.kind}"
                for pair in found.pairs
                for one in found.rows(pair)
            ]
        told = ", ".join(changes[:6]) + (f" and {len(changes) - 6} more" if len(changes) > 6 else "")
        return f"Transaction {txid}, by its pages: {told or 'no row differs'}. The tab Rows shows more."

    def _undo(self, node: ClusterNode, txid: int) -> str:
        shell = self._shells.get(self._scene.nodes.running(node.name), "")
        with open_timeline(_folder(node)) as timeline:
            statements = _undoing(_step(timeline, txid).turned)
        self._shells.begin(shell, " ".join(statements))
        self._settling.settle()
        return f"The SQL that undoes transaction {txid}, typed into a shell: {' '.join(statements)}"

    # Of its backup

    def _backup(self, node: ClusterNode, _: int) -> str:
        files = [Path(file.path) for file in open_source(_folder(node)).files]
        folder = _backup_of(node)
        folder.mkdir(parents=True, exist_ok=True)
        new = [one for one in files if not (folder / one.name).exists()]
        for one in new:
            shutil.copyfile(one, folder / one.name)
        return f"{len(new)} LTX files are copied into the backup: it has {len(list(folder.iterdir()))}."

    def _hole(self, node: ClusterNode, txid: int) -> str:
        """The file without its last page, and whole by all of its own checksums."""
        path = _backup_of(node) / format_filename(txid, txid)
        if not path.exists():
            raise LessonError(f"the backup of {node.name} has no LTX file of TXID {txid}: `backup` first")
        with open_ltx(path) as decoder:
            pages = list(decoder.pages())
            header, checksum = decoder.header, decoder.trailer.post_apply_checksum
        path.write_bytes(encode(header, pages[:-1], checksum))
        return f"In the backup, {path.name} has lost page {pages[-1][0]}. Its own checksums are right."

    def _verify(self, node: ClusterNode, _: int) -> str:
        files = open_source(_backup_of(node)).files
        faults = audit(files).faults
        told = [f"{Path(one.file.path).name}: {one.what}. {one.means}" for one in faults]
        return f"The backup's {len(files)} files: {' '.join(told) or 'no fault'}."

    def _restore(self, node: ClusterNode, txid: int) -> str:
        """Out of the backup, and into the node as one transaction."""
        out = _backup_of(node).parent / f"restored-{txid}.db"
        out.unlink(missing_ok=True)
        try:
            plan = plan_source(open_source(_backup_of(node)), txid=txid)
            restored = restore_files([step.file for step in plan.steps], out)
        except RestoreError as error:
            return f"The restore to TXID {txid} is refused, and nothing is written: {_plain(error, node)}."
        with out.open("rb") as file:
            client.import_(node.url, DATABASE, file)
        return (
            f"Restored to TXID {txid}, {restored.size:,} bytes, and imported into {node.name}: "
            "one transaction more."
        )


def _folder(node: ClusterNode) -> Path:
    return node.data / "dbs" / DATABASE


def _backup_of(node: ClusterNode) -> Path:
    return node.data.parent / "backup" / DATABASE


def _plain(error: PylitefsError, node: ClusterNode) -> str:
    return str(error).replace(f"{_backup_of(node)}/", "").rstrip(".")


def _step(timeline: Timeline, txid: int) -> Difference:
    """What one transaction changed."""
    return difference(timeline, txid - 1, txid)


def _undoing(found: Difference) -> list[str]:
    """Its statements: those for the rows alone, where the schema is the same."""
    if found.schema:
        return list(script(found))
    done: list[str] = []
    for pair in found.pairs:
        if pair.old is not None and pair.new is not None:
            done += row_statements(found, pair, list(found.rows(pair)))
    return ["BEGIN;", *done, "COMMIT;"] if len(done) > 1 else done


def _told(line: HistoryLine) -> str:
    rows = [
        f"{name} +{one.added} ~{one.changed} \u2212{one.removed}" if one else name
        for name, one in line.tables.items()
    ]
    return ", ".join([*rows, *line.notes]) or "no row differs"
