"""A primary and a replica with a backup in a folder, while a workload runs on them.

The rule: a folder is only read while its node runs. To restore, both nodes begin anew on a copy of the other
system's folder.
"""

import shutil
from pathlib import Path

from pylitefs.cluster.cluster import wait_until
from pylitefs.compare.backup_files import last_txid
from pylitefs.compare.side import PATIENCE, Answer, Side, txid_of
from pylitefs.errors import PylitefsError

KEPT = "kept-backup"


class BackupSide(Side):
    """A running `System` with a backup, as the runner sees it."""

    def _do_backed(self, name: str) -> Answer:
        """Wait until the backup has all of a database."""
        folder = self.system.backup / name
        wait_until(lambda: last_txid(folder) == txid_of(self.position(name)), 2 * PATIENCE)
        return {"text": f"the backup is at TXID {last_txid(folder)}"}

    def _do_backup(self) -> Answer:
        """The runner compares the folders."""
        return {"text": "looked at"}

    def _do_keep(self) -> Answer:
        shutil.copytree(self.system.backup, self.system.base_dir / KEPT)
        return {"text": "kept"}

    def _do_restore(self) -> Answer:
        """Both nodes with empty data, and what the other system's backup holds."""
        place = self.system.backup
        [other] = [one for one in self.system.base_dir.parent.glob(f"*/{KEPT}") if one.parent != place.parent]
        self.system.stop(PATIENCE)
        for node in self.system.pair:
            shutil.rmtree(node.data)
        shutil.rmtree(place)
        for file in other.glob("*/*"):
            (place / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / file.parent.name / file.name)
        try:
            self.system.start()
        except PylitefsError as error:
            return {"error": f"does not start: {str(error).partition(chr(10))[0]}"}
        folders = sorted(place.iterdir())
        found = [self._restored(folder) for folder in folders]
        for node in self.system.pair:
            self.pass_over_events(node, [folder.name for folder in folders])
        return {"text": "; ".join(found)}

    def _restored(self, folder: Path) -> str:
        wanted = last_txid(folder)
        wait_until(lambda: txid_of(self.position(folder.name)) == wanted, 2 * PATIENCE)
        return f"{folder.name} at {self.position(folder.name)}"
