"""What SQLite writes: database header, b-trees and records, rollback journal, WAL, WAL index, lock bytes.

The rule: bytes and values in, bytes and values out. Nothing here opens a file, takes a lock, or reads
a clock; where a format is too long for one buffer, the caller hands in a `read_at(offset, size)`.
The formats: https://www.sqlite.org/fileformat2.html and https://www.sqlite.org/walformat.html
"""

from collections.abc import Callable

#: What every format here accepts as bytes.
Buffer = bytes | bytearray | memoryview

#: `read_at(offset, size)` gives up to `size` bytes at `offset` of a file; fewer only at its end.
ReadAt = Callable[[int, int], bytes]
