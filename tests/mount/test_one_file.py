"""A mount with one file gives its bytes to any program, and takes none."""

import errno
import os
from pathlib import Path

import pytest

from pylitefs.cli.sql import _mounted


def test_its_bytes_are_those_of_the_function(tmp_path: Path) -> None:
    """The mount is gone afterwards."""
    content = os.urandom(300_000)
    with _mounted(len(content), lambda offset, size: content[offset : offset + size]) as (path, why):
        assert path.read_bytes() == content and path.stat().st_size == len(content)
        assert os.listdir(path.parent) == ["database"] and why() == ""
        for call, code in (
            (lambda: os.open(path, os.O_RDWR), errno.EROFS),
            (lambda: os.stat(path.with_name("other")), errno.ENOENT),
        ):
            with pytest.raises(OSError) as found:
                call()
            assert found.value.errno in (code, errno.EACCES)
        folder = path.parent
    assert not os.path.ismount(folder) and not folder.exists()
