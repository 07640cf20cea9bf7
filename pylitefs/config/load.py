"""Finds, expands, reads and judges `litefs.yml`.

The rule: a file written for LiteFS is read unchanged. Some of its keys ask for what pylitefs does not have.
Such a key is ignored, with one warning, if nobody would miss it. It is refused, by name, if somebody would: a
file that wants its primary elected must not get a node that elects nobody.
Reference: https://fly.io/docs/litefs/config/, and docs/config.md.
"""

import os
import re
import shlex
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pylitefs.config import backup
from pylitefs.config.expand import expand, plain
from pylitefs.config.model import (
    BackupConfig,
    Config,
    ConsulConfig,
    DataConfig,
    ExecCommand,
    FuseConfig,
    HttpConfig,
    LeaseConfig,
    LogConfig,
    ProxyConfig,
    TracingConfig,
    parse_duration,
    split_address,
)
from pylitefs.config.places import beside
from pylitefs.config.yaml import Place, Reader, key_of
from pylitefs.errors import ConfigError

__all__ = [
    "BackupConfig",
    "Config",
    "ConsulConfig",
    "DataConfig",
    "ExecCommand",
    "FuseConfig",
    "HttpConfig",
    "LeaseConfig",
    "Loaded",
    "LogConfig",
    "ProxyConfig",
    "TracingConfig",
    "check_mountable",
    "find_config",
    "load_config",
    "parse_duration",
]

#: Keys that are read, and mean nothing with a static lease.
_IGNORED: Mapping[Place, str] = {
    ("lease", "promote"): "a static primary is the primary for good",
    ("lease", "demote_delay"): "a static primary is the primary for good",
}


SHORTEST_TTL_S = 0.5
"""A lease that is shorter could not be renewed in time. (Consul itself takes none below 10 s.)"""


@dataclass(frozen=True)
class Loaded:
    """A config and where each of its keys stands, so that later errors can say file and line."""

    config: Config
    path: Path
    reader: Reader

    def error(self, place: Place, text: str) -> ConfigError:
        return self.reader.error(place, text)

    def is_set(self, *place: str) -> bool:
        return place in self.reader.lines


def find_config() -> Path:
    """The first of ./litefs.yml, ~/litefs.yml, /etc/litefs.yml. Raises ConfigError if there is none."""
    candidates = [Path("litefs.yml"), Path.home() / "litefs.yml", Path("/etc/litefs.yml")]
    for path in candidates:
        if path.is_file():
            return path
    names = ", ".join(map(str, candidates))
    raise ConfigError(f"no config file: looked for {names}; name one with -config FILE")


def load_config(
    path: Path,
    *,
    expand_env: bool = True,
    environment: Mapping[str, str] | None = None,
    on_log: Callable[[LogConfig], None] = lambda log: None,
) -> Loaded:
    """Read the file at `path`. Raises ConfigError with file, line, key and remedy. `on_log` is told what the
    file says of the log before that can happen, unless nothing in it can be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a config file with -config FILE") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from None
    expanded = plain(text)
    if expand_env:
        variables = dict(os.environ if environment is None else environment)
        variables["HOSTNAME"] = variables.get("HOSTNAME") or socket.gethostname()
        expanded = expand(text, variables)
    reader = Reader(path, expanded, on_log)
    return Loaded(reader.read(), path, reader)


def check_mountable(loaded: Loaded) -> list[str]:
    """What a node would ignore, a line each; raises ConfigError for what makes mounting wrong."""
    _check_directories(loaded)
    _check_supported(loaded)
    _check_lease(loaded)
    _check_exec(loaded)
    _check_proxy(loaded)
    return [*loaded.reader.warnings(), *_ignored(loaded), *backup.warnings(loaded.config, os.environ)]


def _ignored(loaded: Loaded) -> list[str]:
    if loaded.config.lease.type != "static":
        return []
    return [
        f"{loaded.error(place, '')}ignored: {why}"
        for place, why in _IGNORED.items()
        if loaded.is_set(*map(str, place)) and _value(loaded.config, place)
    ]


def _value(config: object, place: Place) -> object:
    for step in place:
        config = getattr(config, str(step))
    return config


def _check_directories(loaded: Loaded) -> None:
    mount, data = beside(loaded.config.fuse.dir, loaded.config.data.dir)
    if mount == data:
        raise loaded.error(
            ("fuse", "dir"),
            f"{mount} is data.dir too: the mount and the data directory must be two directories",
        )
    if data.is_relative_to(mount):
        raise loaded.error(
            ("data", "dir"),
            f"{data} lies inside fuse.dir {mount}, which the mount will cover: move it elsewhere",
        )


def _check_supported(loaded: Loaded) -> None:
    """All that is refused, in one line: whoever moves a file over wants to know everything at once."""
    config = loaded.config
    refused: list[tuple[Place, str]] = []
    if why := backup.refused_type(config):
        refused.append((("backup", "type"), why))
    if refused:
        place, text = refused[0]
        lines = loaded.reader.lines
        more = [f"; {key_of(other)} (line {lines.get(other, '?')}): {why}" for other, why in refused[1:]]
        raise loaded.error(place, text + "".join(more))
    if why := backup.wrong_path(config):
        raise loaded.error(("backup", "path"), why)


def _check_exec(loaded: Loaded) -> None:
    for number, command in enumerate(loaded.config.exec):
        try:
            words = shlex.split(command.cmd)
        except ValueError as error:
            text = f"{command.cmd!r} cannot be split into words: {error}"
            raise loaded.error(("exec", number, "cmd"), text) from None
        if not words:
            raise loaded.error(("exec", number, "cmd"), "required: name a program")


def _check_proxy(loaded: Loaded) -> None:
    proxy = loaded.config.proxy
    if not proxy.addr:
        return
    for key, text, example in (
        ("addr", proxy.addr, ":8080"),
        ("target", proxy.target, "localhost:8081"),
    ):
        try:
            split_address(text, example)
        except ValueError as error:
            raise loaded.error(("proxy", key), f"{text!r} is {error}") from None
    if not proxy.db:
        raise loaded.error(("proxy", "db"), "required with proxy.addr: the database whose TXID is followed")


def _check_lease(loaded: Loaded) -> None:
    lease = loaded.config.lease
    if not lease.type:
        raise loaded.error(("lease", "type"), "required: write static, or consul")
    url = lease.advertise_url
    if lease.type == "consul":
        _check_consul(loaded)
    elif not url and not lease.candidate:
        raise loaded.error(
            ("lease", "advertise_url"),
            "required with candidate: false: the URL of the primary, http://HOST:20202",
        )
    if url:
        _check_url(loaded, url)
    if lease.candidate and lease.databases:
        raise loaded.error(
            ("lease", "databases"),
            "cannot specify a database replication filter on candidate nodes: a replica may follow some "
            "databases alone; leave it out here, or write candidate: false",
        )


def _check_consul(loaded: Loaded) -> None:
    consul = loaded.config.lease.consul
    if not consul.key:
        raise loaded.error(
            ("lease", "consul", "key"), "required with consul: the same in all nodes, litefs/NAME"
        )
    _check_url(loaded, consul.url, ("lease", "consul", "url"), "http://HOST:8500")
    if consul.ttl < SHORTEST_TTL_S:
        raise loaded.error(("lease", "consul", "ttl"), f"shorter than {SHORTEST_TTL_S:g} s: write 10s")


def _check_url(
    loaded: Loaded, url: str, place: Place = ("lease", "advertise_url"), example: str = "http://HOST:20202"
) -> None:
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return
    except ValueError:
        pass  # a port past 65535, or a bracket that does not end
    shown = re.sub("//[^/]*@", "//…@", url)
    raise loaded.error(place, f"{shown!r} is not a URL: write {example}")
