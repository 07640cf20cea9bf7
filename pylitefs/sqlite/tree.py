"""A b-tree from its root: the way to a key, its pages, its rows.

The rule: pages are asked for one by one through `read_page`, and only those on the way. So a search costs
what the tree is deep; only a walk costs what the tree is large. A tree that is damaged ends in an error: no
page is its own ancestor, and none is read twice in a walk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.btree import Node
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.keys import Key, compare
from pylitefs.sqlite.records import ENCODINGS, Value, decode

ReadPage = Callable[[int], Buffer]
_DEEPEST = 40
_ENCODING_OFFSET = 56


@dataclass(frozen=True, slots=True)
class Pages:
    """A database's pages, read one by one, and what page 1 says of all of them."""

    read: ReadPage
    usable: int
    """Bytes of a page without those that are reserved at its end."""
    encoding: str

    @classmethod
    def of(cls, read: ReadPage) -> "Pages":
        """Raises SqliteFormatError if page 1 is no database's."""
        first = read(1)
        header = DatabaseHeader.parse(first)
        number = int.from_bytes(first[_ENCODING_OFFSET : _ENCODING_OFFSET + 4], "big")
        if number not in ENCODINGS:
            raise SqliteFormatError(f"the database header gives text encoding {number}, which SQLite has not")
        return cls(read, header.page_size - header.reserved, ENCODINGS[number])

    def node(self, pgno: int) -> Node:
        """The page of a b-tree."""
        return Node(pgno, self.read(pgno), self.usable)

    def record(self, node: Node, number: int) -> bytes:
        """The whole record of a cell, with what lies in overflow pages."""
        payload = node.payload(number)
        if not payload.overflow:
            return bytes(payload.local)
        parts: list[Buffer] = [payload.local]
        left = payload.size - len(payload.local)
        for pgno in self.overflow_pages(node, number):
            parts.append(self.read(pgno)[4 : 4 + min(left, self.usable - 4)])
            left -= len(parts[-1])
        return b"".join(parts)

    def overflow_pages(self, node: Node, number: int) -> Iterator[int]:
        """The pages that a cell's payload goes on in."""
        payload = node.payload(number)
        left, pgno = payload.size - len(payload.local), payload.overflow
        while left > 0:
            if pgno < 2:
                raise SqliteFormatError(f"a row of page {node.pgno} ends before its bytes do")
            yield pgno
            left -= self.usable - 4
            pgno = int.from_bytes(self.read(pgno)[:4], "big") if left > 0 else 0

    def values(self, node: Node, number: int) -> list[Value]:
        """The values of a cell's record."""
        return decode(self.record(node, number), self.encoding)


def path_to_rowid(pages: Pages, root: int, rowid: int) -> list[int]:
    """The pages from the root to the leaf where the row is, or would be."""
    path: list[int] = []
    pgno = root
    while True:
        node = _step(pages, path, pgno)
        if not node.is_interior:
            return path
        low, high = 0, node.count
        while low < high:
            middle = (low + high) // 2
            if node.rowid(middle) < rowid:
                low = middle + 1
            else:
                high = middle
        pgno = node.child(low)


def path_to_key(pages: Pages, root: int, key: Sequence[Value], order: Sequence[Key]) -> list[int]:
    """The pages from the root to where the entry with this key is, or would be: a leaf, or above one."""
    path: list[int] = []
    pgno = root
    while True:
        node = _step(pages, path, pgno)
        low, high = 0, node.count
        while low < high:
            middle = (low + high) // 2
            found = compare(pages.values(node, middle), key, order, pages.encoding)
            if found == 0:
                return path
            if found < 0:
                low = middle + 1
            else:
                high = middle
        if not node.is_interior:
            return path
        pgno = node.child(low)


def nodes(pages: Pages, root: int) -> Iterator[Node]:
    """Every page of the tree, each before those below it, in the order of the keys."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        pgno = waiting.pop()
        if pgno in seen:
            raise SqliteFormatError(f"page {pgno} is twice in one b-tree")
        seen.add(pgno)
        node = pages.node(pgno)
        yield node
        waiting += reversed(node.children())


def table_rows(pages: Pages, root: int) -> Iterator[tuple[int, list[Value]]]:
    """Rowid and stored values of every row of a table, ascending."""
    for node in nodes(pages, root):
        if not node.is_interior:
            for number in range(node.count):
                yield node.rowid(number), pages.values(node, number)


def _step(pages: Pages, path: list[int], pgno: int) -> Node:
    if len(path) > _DEEPEST:
        raise SqliteFormatError(f"the b-tree of page {path[0]} has no bottom")
    path.append(pgno)
    return pages.node(pgno)
