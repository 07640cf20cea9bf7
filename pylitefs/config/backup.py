"""What `backup.*` may say: a folder of its own, or nothing.

The rule: a backup that would not be made is refused at the start, by name. LiteFS Cloud ended in October
2024.
"""

from collections.abc import Mapping
from pathlib import Path

from pylitefs.config.model import Config
from pylitefs.config.places import beside, real_path

CLOUD = "litefs-cloud"
_CLOUD_VARIABLE = "LITEFS_CLOUD_TOKEN"
_ENDED = "LiteFS Cloud ended in October 2024"


def backup_path(config: Config) -> Path | None:
    """The backup folder; None where there is no backup."""
    return Path(config.backup.path).absolute() if config.backup.type == "file" else None


def refused_type(config: Config) -> str:
    """Why `backup.type` cannot be had; "" if it can."""
    kind = config.backup.type
    if kind in ("", "file"):
        return ""
    if kind == CLOUD:
        return f"{_ENDED}: write file, with backup.path, or leave it empty"
    return f"{kind!r} is no type of backup: write file, with backup.path, or leave it empty"


def wrong_path(config: Config) -> str:
    """What is wrong with `backup.path`; "" if nothing is."""
    path = backup_path(config)
    if path is None:
        return ""
    if not config.backup.path:
        return "required with backup.type: file: the folder of the backup, on another disk if there is one"
    mount, path = beside(config.fuse.dir, path)
    for key, other in (("fuse.dir", mount), ("data.dir", real_path(config.data.dir))):
        if path == other or path.is_relative_to(other) or other.is_relative_to(path):
            return f"{path} and {key} {other} lie one in the other: write a folder of the backup's own"
    return ""


def warnings(config: Config, environment: Mapping[str, str]) -> list[str]:
    """What would have had an effect in LiteFS."""
    if environment.get(_CLOUD_VARIABLE) and config.backup.type != "file":
        return [f"{_CLOUD_VARIABLE} is set and ignored: {_ENDED}; backup.type: file backs up into a folder"]
    return []
