"""The formats can be imported anywhere; a library that is missing is an error once it is used."""

import subprocess
import sys

CODE = """
import sys
for name in ("fuse", "fcntl", "termios", "pwd", "grp", "resource", "fastcrc", "lz4", "numpy"):
    sys.modules[name] = None
import importlib, pkgutil
import pylitefs.ltx, pylitefs.sqlite
for package in (pylitefs.ltx, pylitefs.sqlite):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import pylitefs.replication.frames, pylitefs.replication.catchup, pylitefs.cli.ltx
from pylitefs.errors import MissingLibraryError
from pylitefs.ltx.checksum import crc64
from pylitefs.ltx.libraries import lz4_block, lz4_frame
for name, use in (("fastcrc", lambda: crc64(b"")), ("lz4", lambda: lz4_frame.compress(b"")),
                  ("lz4", lambda: lz4_block.compress(b""))):
    try:
        use()
    except MissingLibraryError as error:
        assert f"pip install {name}" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_every_module_of_the_formats_is_imported_where_no_library_is() -> None:
    """Neither Unix's own modules nor fastcrc, lz4 or NumPy: the error comes with the first use."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
