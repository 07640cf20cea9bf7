"""The connection that an application gets: APSW's, which knows its node and says what SQLite leaves out.

The rule: it is an `apsw.Connection` in all that it does. Only where SQLite says no more than "unable to open
database file" of a database in WAL mode, the reason is said.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import apsw

from pylitefs.ltx.position import Pos
from pylitefs.store.names import FileKind
from pylitefs.vfs.bridge import WAL_ALONE
from pylitefs.vfs.files import VERSIONS

if TYPE_CHECKING:
    from pylitefs.store.store import Store

_WAL = b"\2\2"


class Node(Protocol):
    """What a connection needs of its node."""

    @property
    def store(self) -> "Store": ...


class Cursor(apsw.Cursor):
    """Its `execute` names the reason where a database in WAL mode cannot be opened."""

    def execute(self, *arguments: Any, **options: Any) -> apsw.Cursor:
        try:
            return super().execute(*arguments, **options)
        except apsw.CantOpenError as error:
            raise self._explained(error) from None

    def _explained(self, error: apsw.CantOpenError) -> apsw.CantOpenError:
        connection = self.connection
        assert isinstance(connection, Connection)
        names = connection.names_in_wal_mode()
        if not names or "unable to open" not in str(error):
            return error
        return apsw.CantOpenError(f"{', '.join(names)} is in WAL mode, which {WAL_ALONE}")


class Connection(apsw.Connection):
    """`node` is the node that it is on; `position()` is where its database is."""

    node: Any
    """Whatever made it: `pylitefs.embedded.EmbeddedNode`."""

    @classmethod
    def of(cls, node: Node) -> "Callable[..., Connection]":
        """What `Front.connect` calls to make one."""

        def make(*arguments: Any) -> Connection:
            made = cls(*arguments)
            made.node = node
            made.cursor_factory = Cursor
            return made

        return make

    @property
    def database(self) -> str:
        """The name of the database that it was opened on."""
        return self.filename.removeprefix("/")

    def position(self) -> Pos:
        """The newest transaction of its database that is told: what `DB-pos` shows in a mount."""
        found = self.node.store.get(self.database)
        return found.current_pos() if found is not None else Pos()

    def names_in_wal_mode(self) -> list[str]:
        """Its databases whose files say that they are in WAL mode."""
        found = []
        for schema in self.db_names():
            name = (self.db_filename(schema) or "").removeprefix("/")
            database = self.node.store.get(name) if name else None
            if database is not None and database.exists:
                with open(database.path(FileKind.DATABASE), "rb") as file:
                    if file.read(100)[VERSIONS] == _WAL:
                        found.append(name)
        return found
