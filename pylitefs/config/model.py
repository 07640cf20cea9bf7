"""The keys of `litefs.yml`, their types and defaults: one class a section, one field a key.

The rule: every key real LiteFS knows is here, whether or not its feature exists yet, so that a
file from a real deployment is read whole; what is not supported is said by `load.py`, by name.
A field `reconnect_delay` is the key `reconnect-delay`. Durations are seconds.
Reference: https://fly.io/docs/litefs/config/
"""

import re
import socket
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pylitefs.config.token import check_token, token_of_environment
from pylitefs.shown import has_control

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 290 * 365.25 * 86400
"""Go's durations end at 292 years, and so do the kernel's timeouts here."""
_DURATION = re.compile(r"(?:(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))")


_SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([0-9]{1,15})(B|KB|MB|GB|TB|)")

HIGHEST_PORT = 65535
_ADDRESS = re.compile(r"([^\s/:\[\]]*|\[[^\s/\[\]]+\]):[0-9]{1,5}")


def parse_duration(text: object) -> float:
    """Seconds in a Go duration: `10m`, `1h30m`, `1.5s`, `500ms`, `0`. Raises ValueError otherwise."""
    if isinstance(text, (int, float)):
        return float(text)
    parts = list(_DURATION.finditer(str(text)))
    if str(text) == "0":
        return 0.0
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError("not a duration: write a number with a unit, such as 500ms, 10s, 10m or 1h30m")
    seconds = sum(float(part[1]) * _UNITS[part[2]] for part in parts)
    if seconds > LONGEST_S:
        raise ValueError("longer than 290 years, the longest duration: write a shorter one, such as 8760h")
    return seconds


def parse_size(text: object) -> int:
    """Bytes in a size: `1GB`, `64MB`, `512KB`, `4096`. Raises ValueError otherwise."""
    found = _SIZE.fullmatch(str(text))
    if found is None:
        raise ValueError("not a size: write bytes, or a number with KB, MB, GB or TB, such as 64MB or 1GB")
    return int(found[1]) * _SIZE_UNITS[found[2]]


def _directory(text: object) -> Path:
    if not str(text):
        raise ValueError("required: name a directory")
    return Path(str(text)).absolute()


def split_address(text: str, example: str) -> tuple[str, int]:
    """The host ("" for every interface) and the port of HOST:PORT or :PORT. Raises ValueError: what it is."""
    host, _, port = text.rpartition(":")
    if "://" in text:
        rest = text.partition("://")[2].partition("/")[0]
        raise ValueError(f"a URL and no address: write {rest if ':' in rest else f'{rest}:PORT'}")
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"not an address: write {example}")
    if int(port) > HIGHEST_PORT:
        raise ValueError(f"not an address: the highest port is {HIGHEST_PORT}; write {example}")
    return host.strip("[]"), int(port)


def _listen_address(text: str) -> str:
    try:
        split_address(text, ":20202 or HOST:PORT")
    except ValueError as error:
        raise ValueError(f"{text!r} is {error}") from None
    return text


def _plain(text: str) -> str:
    if has_control(text):
        raise ValueError(f"{text!r} has a control character: no name has one")
    return text


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Directory = Annotated[Path, BeforeValidator(_directory)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Token = Annotated[str, AfterValidator(check_token), Field(repr=False)]
Name = Annotated[str, AfterValidator(_plain)]


class Section(BaseModel):
    """A mapping of the config file. Frozen: flags make a changed copy (`model_copy`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExecCommand(Section):
    cmd: str = ""
    if_candidate: bool = False


class DataConfig(Section):
    dir: Directory = Path("/var/lib/litefs")
    compress: bool = True
    retention: Duration = 600.0
    retention_monitor_interval: Duration = 60.0
    retention_behind_files: Annotated[int, Field(ge=0)] = 10_000
    """Ours: so many LTX files past their retention are kept for a replica that is connected and behind."""
    retention_behind_bytes: Size = 1_000_000_000
    """Ours: the same in bytes; either bound holds."""
    pace: bool = True
    """Ours: whether writes wait a little for connected replicas that fall behind (store/pace.py)."""


class FuseConfig(Section):
    dir: Directory = Path("/litefs")
    allow_other: bool = False
    debug: bool = False
    replica_wal: Literal["auto", "read-only", "writable"] = "auto"
    """Ours: whether a replica's clients open a WAL to write it. `auto`: where the node may become primary."""
    moments: bool = False
    """Ours: whether `DB@TXID` in the mount is the database as it was."""


class HttpConfig(Section):
    addr: ListenAddress = ":20202"
    snapshot_timeout: Duration = 10.0
    token: Token = ""
    """Ours: who asks has to show it."""
    open_stream: bool = False
    """Ours: a replica need not show it."""

    @property
    def shown_token(self) -> str:
        """`token`, or else the environment's; "" for none. Raises ConfigError."""
        return self.token or token_of_environment()

    @property
    def host_port(self) -> tuple[str, int]:
        """The address to listen on; an empty host means every interface."""
        return split_address(self.addr, ":20202")


class ProxyConfig(Section):
    addr: str = ""
    target: str = ""
    db: Name = ""
    debug: bool = False
    max_lag: Duration = 10.0
    passthrough: tuple[str, ...] = ()
    always_forward: tuple[str, ...] = ()
    primary_redirect_timeout: Duration = 5.0
    read_timeout: Duration = 0.0
    read_header_timeout: Duration = 0.0
    write_timeout: Duration = 0.0
    idle_timeout: Duration = 0.0


class ConsulConfig(Section):
    url: str = ""
    key: str = ""
    ttl: Duration = 10.0
    lock_delay: Duration = 1.0


class LeaseConfig(Section):
    type: Literal["", "static", "consul"] = ""
    hostname: Name = ""
    advertise_url: str = ""
    candidate: bool = True
    promote: bool = False
    reconnect_delay: Duration = 1.0
    demote_delay: Duration = 10.0
    newest_first: bool = True
    """Ours: a candidate leaves a free lease to one that is reachable and has newer data."""
    databases: tuple[Name, ...] = ()
    halt_lock_ttl: Annotated[Duration, Field(gt=0)] = 30.0
    """Ours, as the next two: a replica's HALT lock that is not renewed ends on the primary after this."""
    halt_acquire_timeout: Duration = 10.0
    """Who wants the HALT lock waits so long for it."""
    halt_on_write: bool = False
    """A write on a replica takes the HALT lock by itself, and gives it back."""
    consul: ConsulConfig = ConsulConfig()

    @property
    def shown_hostname(self) -> str:
        """What `.primary` shows: `hostname`, or else the host of `advertise-url`; with Consul this
        machine's."""
        if self.type == "consul":
            return self.hostname or socket.gethostname()
        return self.hostname or (urlsplit(self.advertise_url).hostname or "")


class BackupConfig(Section):
    type: str = ""
    path: str = ""
    url: str = ""
    cluster: str = ""
    auth_token: str = ""
    delay: Duration = 1.0
    """Ours, as the next: so long after a change it is waited for more of them."""
    full_sync_interval: Duration = 10.0
    """So often the whole folder is looked at."""


class LogConfig(Section):
    format: Literal["text", "json"] = "text"
    timestamp: bool = False
    debug: bool = False


class TracingConfig(Section):
    enabled: bool = True
    path: str = ""
    max_size: int = 64
    """Megabytes a file."""
    max_count: int = 8
    compress: bool = False


class Config(Section):
    """A whole `litefs.yml`."""

    exit_on_error: bool = True
    skip_sync: bool = False
    strict_verify: bool = False
    exec: tuple[ExecCommand, ...] = ()
    data: DataConfig = DataConfig()
    fuse: FuseConfig = FuseConfig()
    http: HttpConfig = HttpConfig()
    proxy: ProxyConfig = ProxyConfig()
    lease: LeaseConfig = LeaseConfig()
    backup: BackupConfig = BackupConfig()
    log: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()
