"""Files that SQLite makes for itself and that nobody else sees: for sorting, statement journals, TEMP tables.

The rule: they are no database's, so the store hears nothing of them. Small ones stay in memory.
"""

from tempfile import SpooledTemporaryFile

_IN_MEMORY = 1 << 20


class TemporaryFile:
    """A file without a name, gone when it is closed."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115

    def read(self, size: int, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def write(self, data: bytes, offset: int) -> None:
        gap = offset - self.size()
        if gap > 0:
            self._file.write(bytes(gap))  # `size` has left it at the end.
        self._file.seek(offset)
        self._file.write(data)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def sync(self, datasync: bool) -> None:
        """It need not survive anything."""

    def size(self) -> int:
        return self._file.seek(0, 2)

    def close(self) -> None:
        self._file.close()
