"""All checks in the order in which a person would mend what they find: each finding as soon as it is there.

The rule: a config file that is wrong ends what needs it, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pylitefs.config import Config, check_mountable, find_config, load_config
from pylitefs.config.backup import backup_path
from pylitefs.config.load import Loaded
from pylitefs.config.model import split_address
from pylitefs.doctor import folders, machine, network
from pylitefs.doctor.finding import Finding, note, ok, wrong
from pylitefs.errors import ConfigError, DataDirectoryError
from pylitefs.store import cluster_id

_EVERYWHERE = {"", "0.0.0.0", "::"}


def examine(config_path: Path | None, urls: Sequence[str] = ()) -> Iterator[Finding]:
    """Everything about the node of this config file (or of the one that `pylitefs mount` would find), and
    about the nodes at `urls`."""
    loaded: Loaded | None = None
    try:
        loaded = load_config(config_path or find_config())
    except ConfigError as error:
        yield wrong("config", str(error))
    if loaded is not None:
        yield from _config(loaded)
    config = loaded.config if loaded else None
    token = _token(config) if config else ""
    own = _own_node(config, token) if config else None
    running = own is not None
    yield from machine.fuse(allow_other=config.fuse.allow_other if config else False, running=running)
    yield from machine.descriptors()
    yield from machine.dead_mounts(config.fuse.dir if config else None)
    if config is not None:
        yield from _folders(config, running=running)
        yield from _ports(config, running=running)
        if own is not None:
            yield from _said_of_itself(own)
        yield from _lease(config, own, token)
    identity = _cluster_id(config.data.dir) if config else ""
    for url in urls:
        answer = network.ask(url.rstrip("/"), token)
        yield from network.peer("peer", answer, cluster_id=identity, must_be_primary=False)


def _config(loaded: Loaded) -> Iterator[Finding]:
    try:
        warnings = check_mountable(loaded)
    except ConfigError as error:
        yield wrong("config", str(error))
        return
    for line in warnings:
        yield note("config", line)
    yield ok("config", f"{loaded.path} can be mounted")


def _token(config: Config) -> str:
    try:
        return config.http.shown_token
    except ConfigError:
        return ""


def _own_node(config: Config, token: str) -> network.Answer | None:
    """The node of this config, if it runs."""
    host, port = config.http.host_port
    host = "127.0.0.1" if host in _EVERYWHERE else host
    answer = network.ask(f"http://{f'[{host}]' if ':' in host else host}:{port}", token)
    return answer if not answer.error and answer.path == str(config.data.dir) else None


def _folders(config: Config, *, running: bool) -> Iterator[Finding]:
    data = config.data.dir
    yield from folders.data_directory(data, running=running)
    yield from folders.room("disk", data, folders.largest_database(data))
    yield from folders.mount_directory(config.fuse.dir, running=running)
    if (backup := backup_path(config)) is not None:
        yield from folders.backup_folder(backup, data, running=running)
        yield from folders.room("backup", backup)


def _ports(config: Config, *, running: bool) -> Iterator[Finding]:
    yield from network.port("port", "http.addr", config.http.host_port, ours=running)
    try:
        address = split_address(config.proxy.addr, ":8080") if config.proxy.addr else None
    except ValueError:
        return  # That was said of the config.
    if address is not None:
        yield from network.port("proxy port", "proxy.addr", address, ours=running)


def _said_of_itself(own: network.Answer) -> Iterator[Finding]:
    """What the running node knows to be wrong."""
    if own.facts is None:
        yield note(
            "node", f"{own.url} runs, and does not say how it is: another program, or a token is needed"
        )
        return
    facts = own.facts
    for name, why in _texts(facts.get("setAside")):
        yield wrong("database", f"{name} is set aside and not served: {why}")
    if disk := facts.get("disk"):
        yield wrong("disk", str(disk))
    backup = facts.get("backup")
    for name, why in _texts(backup.get("troubles") if isinstance(backup, dict) else None):
        yield wrong("backup", f"{name}: {why}" if name else why)
    if facts.get("ready"):
        yield ok("node", f"{own.url} runs as {'the primary' if own.is_primary else 'a replica'} and is ready")
    else:
        yield note("node", f"{own.url} runs and is not ready yet: its log says what it waits for")


def _texts(found: object) -> Iterator[tuple[str, str]]:
    if isinstance(found, Mapping):
        yield from ((str(name), str(text)) for name, text in sorted(found.items()))


def _lease(config: Config, own: network.Answer | None, token: str) -> Iterator[Finding]:
    lease = config.lease
    if lease.type == "consul":
        yield from network.lease_service(lease.consul.url)
    advertised = lease.advertise_url.rstrip("/")
    if advertised and lease.type == "static" and not lease.candidate:
        answer = network.ask(advertised, token)
        identity = _cluster_id(config.data.dir)
        yield from network.peer("primary", answer, cluster_id=identity, must_be_primary=True)
    elif advertised:
        yield from network.own_url(advertised, own, token)


def _cluster_id(data_dir: Path) -> str:
    try:
        return cluster_id.read(data_dir) or ""
    except (OSError, DataDirectoryError):
        return ""  # That was said of the data directory, or a start says it.
