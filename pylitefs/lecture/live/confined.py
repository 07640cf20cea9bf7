"""What a lesson's SQL may reach: the databases of its own node, and nothing else of the machine.

The rule: a lesson may be a stranger's. SQLite asks `authorize` before it prepares a statement, and what is
refused is refused in words that name it. A database is attached by a name directly in the node's mount. What
is not a plain name there (another folder, a link, `..`, a URI, something computed) counts as outside.
PRAGMAs are let through by a list, so that one that a later SQLite brings is not.

VACUUM INTO asks for ATTACH. https://www.sqlite.org/c3ref/set_authorizer.html
"""

import os
import sqlite3
from pathlib import Path

from pylitefs.errors import InvalidNameError
from pylitefs.shown import shown
from pylitefs.store.names import check_database_name

_OWN_MEMORY = frozenset({"", ":memory:"})
"""Names of databases that no file in the folder has; plain VACUUM attaches the first."""

_HARMLESS = """
    analysis_limit application_id auto_vacuum automatic_index busy_timeout cache_size cache_spill
    case_sensitive_like cell_size_check checkpoint_fullfsync collation_list compile_options count_changes
    data_version database_list default_cache_size defer_foreign_keys empty_result_callbacks encoding
    foreign_key_check foreign_key_list foreign_keys freelist_count full_column_names fullfsync function_list
    hard_heap_limit ignore_check_constraints incremental_vacuum index_info index_list index_xinfo
    integrity_check journal_mode journal_size_limit legacy_alter_table legacy_file_format locking_mode
    max_page_count mmap_size module_list optimize page_count page_size pragma_list query_only quick_check
    read_uncommitted recursive_triggers reverse_unordered_selects schema_version secure_delete
    short_column_names shrink_memory soft_heap_limit stats synchronous table_info table_list table_xinfo
    temp_store threads trusted_schema user_version wal_autocheckpoint wal_checkpoint
"""
_PRAGMAS = frozenset(_HARMLESS.split())
_TO_READ = frozenset({"writable_schema", "temp_store_directory", "data_store_directory"})
"""PRAGMAs that may be asked, and not set."""
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})
"""Both bring code into the process."""


class Confined:
    """The authorizer of one shell. `why` says what was refused last, "" if nothing was."""

    def __init__(self, database: Path) -> None:
        self._mount = str(database.parent)
        self.why = ""

    def watch(self, connection: sqlite3.Connection) -> None:
        """From now on this connection is kept inside."""
        connection.set_authorizer(self.authorize)

    def authorize(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """What SQLite asks: SQLITE_OK or SQLITE_DENY."""
        why = ""
        if action == sqlite3.SQLITE_ATTACH:
            why = self._why_not_attach(first)
        elif action == sqlite3.SQLITE_PRAGMA:
            why = _why_not_pragma((first or "").lower(), second)
        elif action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
            why = f"{second}() is refused: a lesson brings no code; use SQLite's own functions"
        if not why:
            return sqlite3.SQLITE_OK
        self.why = why
        return sqlite3.SQLITE_DENY

    def _why_not_attach(self, name: str | None) -> str:
        remedy = (
            "ATTACH and VACUUM INTO reach a database in the node's mount: write its name, as in 'other.db'"
        )
        if name is None:
            return f"a file's name that is computed is refused: {remedy}"
        if name in _OWN_MEMORY:
            return ""
        folder, slash, plain = name.rpartition("/")
        # SQLite takes a name without a folder from where the process is: the shell is in the mount.
        if not (folder == self._mount if slash else self._is_here()) or name.startswith("file:"):
            return f"{shown(name)} is outside of the node: {remedy}"
        try:
            check_database_name(plain)
        except InvalidNameError as error:
            return f"{error} ({remedy})"
        if os.path.islink(os.path.join(self._mount, plain)):
            return f"{shown(name)} is a link, which may lead out of the node: {remedy}"
        return ""

    def _is_here(self) -> bool:
        try:
            return os.getcwd() == self._mount
        except OSError:
            return False


def _why_not_pragma(name: str, value: str | None) -> str:
    if name in _PRAGMAS or (name in _TO_READ and value is None):
        return ""
    return (
        f"PRAGMA {shown(name)} is refused: a lesson's SQL changes nothing but its node's databases, and this "
        "one is not known to keep to that; leave it out"
    )
