"""The first 100 bytes of a database.

The page count in them counts only if the program that wrote it knew the field: then the change
counter equals the version-valid-for number. Otherwise the file's size decides, as it does for SQLite.
Format: https://www.sqlite.org/fileformat2.html#the_database_header
"""

import struct
from dataclasses import dataclass

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer

DATABASE_HEADER_SIZE = 100
DATABASE_MAGIC = b"SQLite format 3\0"
MIN_PAGE_SIZE = 512
MAX_PAGE_SIZE = 65536

WRITE_VERSION_OFFSET = 18
READ_VERSION_OFFSET = 19
CHANGE_COUNTER_OFFSET = 24
PAGE_COUNT_OFFSET = 28
SCHEMA_COOKIE_OFFSET = 40
VERSION_VALID_FOR_OFFSET = 92


def is_page_size(size: int) -> bool:
    """Whether SQLite has pages of `size` bytes: a power of two from 512 to 65,536."""
    return MIN_PAGE_SIZE <= size <= MAX_PAGE_SIZE and size & (size - 1) == 0


@dataclass(frozen=True, slots=True)
class DatabaseHeader:
    """The fields that replication needs, read from page 1."""

    page_size: int
    write_version: int
    """1 for a rollback journal, 2 for a WAL."""
    read_version: int
    reserved: int
    """Bytes kept free at the end of each page."""
    change_counter: int
    page_count: int
    """As the header says; `pages()` tells whether it counts."""
    schema_cookie: int
    version_valid_for: int

    @classmethod
    def parse(cls, data: Buffer) -> "DatabaseHeader":
        """Read the header from the first 100 bytes (more are ignored).

        Raises SqliteFormatError for too few bytes, another magic, or a page size SQLite does not have.
        """
        if len(data) < DATABASE_HEADER_SIZE:
            raise SqliteFormatError(
                f"not a SQLite database: {len(data)} bytes, and its header alone takes {DATABASE_HEADER_SIZE}"
            )
        if bytes(data[:16]) != DATABASE_MAGIC:
            raise SqliteFormatError(
                f"not a SQLite database: it begins {bytes(data[:16])!r}, not {DATABASE_MAGIC!r}"
            )
        raw_size, write_version, read_version, reserved = struct.unpack_from(">HBBB", data, 16)
        page_size = 65536 if raw_size == 1 else raw_size
        if not is_page_size(page_size):
            raise SqliteFormatError(f"not a SQLite database: its header gives a page size of {page_size}")
        change_counter, page_count = struct.unpack_from(">II", data, CHANGE_COUNTER_OFFSET)
        (schema_cookie,) = struct.unpack_from(">I", data, SCHEMA_COOKIE_OFFSET)
        (version_valid_for,) = struct.unpack_from(">I", data, VERSION_VALID_FOR_OFFSET)
        return cls(
            page_size=page_size,
            write_version=write_version,
            read_version=read_version,
            reserved=reserved,
            change_counter=change_counter,
            page_count=page_count,
            schema_cookie=schema_cookie,
            version_valid_for=version_valid_for,
        )

    @property
    def is_wal(self) -> bool:
        """Whether the database is in WAL mode: both versions are 2."""
        return self.write_version == 2 and self.read_version == 2

    def pages(self, file_size: int) -> int:
        """How many pages the database has, in a file of `file_size` bytes."""
        if self.change_counter == self.version_valid_for and self.page_count != 0:
            return self.page_count
        return file_size // self.page_size
