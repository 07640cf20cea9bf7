"""The cluster's id, in `DATA/clusterid`: `LFSC`, 16 upper-case hex digits and a newline, as LiteFS writes it.

The rule: a file that holds something else is never overwritten, for it says which cluster the data belong to.
"""

import re
import secrets
from pathlib import Path

from pylitefs.errors import DataDirectoryError
from pylitefs.store.files import write_durably

_FORM = re.compile(r"LFSC[0-9A-F]{16}")


def make() -> str:
    """A new cluster's id."""
    return f"LFSC{secrets.token_hex(8).upper()}"


def read(data_dir: Path) -> str | None:
    """The id that is kept; None if there is none. DataDirectoryError if the file holds no id."""
    path = data_dir / "clusterid"
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not _FORM.fullmatch(text):
        raise DataDirectoryError(
            f"{path} holds {text[:40]!r}, not LFSC and 16 hex digits: restore it, or remove it so that "
            "the node takes the id of the cluster it joins"
        )
    return text


def write(data_dir: Path, text: str) -> None:
    """Keep the id, durably. DataDirectoryError if it is none."""
    if not _FORM.fullmatch(text):
        raise DataDirectoryError(f"{text[:40]!r} is not a cluster id: LFSC and 16 hex digits")
    write_durably(data_dir / "clusterid", f"{text}\n".encode())
