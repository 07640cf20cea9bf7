"""A temporary file behaves as a file on a disk does, in memory or not."""

import random
from pathlib import Path

from pylitefs.vfs.temporary import TemporaryFile


def test_it_reads_as_a_file_on_a_disk(tmp_path: Path) -> None:
    """Writes past the end leave zeros, reads past it are short."""
    chance = random.Random(3)
    file = TemporaryFile()
    with open(tmp_path / "plain", "w+b", buffering=0) as plain:
        for _ in range(200):
            offset, size = chance.randrange(3 << 20), chance.randrange(1, 9000)
            match chance.randrange(3):
                case 0:
                    data = chance.randbytes(size)
                    file.write(data, offset)
                    plain.seek(offset)
                    plain.write(data)
                case 1:
                    shorter = min(offset, file.size())
                    file.truncate(shorter)
                    plain.truncate(shorter)
                case _:
                    plain.seek(offset)
                    assert file.read(size, offset) == plain.read(size)
            assert file.size() == plain.seek(0, 2)
    file.sync(False)
    file.close()
