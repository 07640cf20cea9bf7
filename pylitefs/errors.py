"""Every error pylitefs raises on purpose, named after whose fault it is.

The rule: a message names the thing (file, database, key, both checksums) and says what to do.
Anything else that escapes is a bug of ours.
"""


class PylitefsError(Exception):
    """Base of all errors below; the command line prints its text on one line and exits 1."""


class LtxError(PylitefsError):
    """An LTX file or stream is not what the format says: torn, out of order, a wrong field."""


class TornLtxError(LtxError):
    """An LTX file ends before its trailer, as after a crash or a cut connection."""


class LtxChecksumError(LtxError):
    """An LTX file's bytes do not add up to the checksum it carries."""


class UnsupportedLtxError(LtxError):
    """An LTX file of a version or with a flag that who reads it does not know: a node knows LiteFS 0.5's."""


class RestoreError(PylitefsError):
    """The LTX files that there are do not lead to the moment that was asked for."""


class HistoryGoneError(RestoreError):
    """A page as it was then is in no file any more: retention took it."""


class MissingLibraryError(PylitefsError):
    """A Python package that the work needs is not installed."""


class SqliteFormatError(PylitefsError):
    """A database, journal, WAL or WAL index does not hold what SQLite would have written."""


class InvalidNameError(PylitefsError):
    """A database name from the mount or the network that could leave the data directory."""


class DatabaseNotFoundError(PylitefsError):
    """No database of that name on this node."""


class ReadOnlyReplicaError(PylitefsError):
    """A change was asked of a node that is not the primary."""


class DataDirectoryError(PylitefsError):
    """The data directory cannot be used: in use by another node, unreadable, or not a data directory."""


class RecoveryError(PylitefsError):
    """A database's files contradict its LTX files and going on would lose data."""


class SetAsideError(PylitefsError):
    """The database is not served: its recovery failed, and a person has to act."""


class PositionMismatchError(PylitefsError):
    """A transaction does not continue the position it is applied to."""


class ApplierError(PylitefsError):
    """The applier process could not do what it was asked (it died, or the mount refused it)."""


class UntouchedError(ApplierError):
    """A transaction could not be applied, and nothing of it was: the database is what it was before."""


class BusyError(PylitefsError):
    """SQLite's locks could not be had in time; the text says who holds them where that is known."""


class HaltError(PylitefsError):
    """The HALT lock cannot be had, or is not held by who says so."""


class MountError(PylitefsError):
    """The mount cannot be made or ended: /dev/fuse, fusermount, libfuse, or the directory."""


class ConfigError(PylitefsError):
    """The config file or a flag is wrong; the text names file, line, key and the nearest valid key."""


class BackupError(PylitefsError):
    """The backup cannot be read or written as it is: the text names the folder or file, and the remedy."""


class ReplicationError(PylitefsError):
    """The peer sent something that is not the stream protocol, or belongs to another cluster."""


class RemoteError(PylitefsError):
    """A node answered an HTTP request with an error; the text is what the node said."""


class LessonError(PylitefsError):
    """A lesson says something that cannot be done; the text names the line, the thing and the remedy."""


class ExpectError(LessonError):
    """A lesson's `expect` does not hold on the live nodes; the text says what is so instead."""
