"""The network: this node's ports, the others with their versions and clocks, and the lease service.

The rule: one question each, and an answer within three seconds or none. Nothing is posted.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pylitefs import __version__
from pylitefs.config.token import VARIABLE, authorization
from pylitefs.doctor.finding import Finding, note, ok, wrong

ANSWER_S = 3.0
SKEW_S = 2.0
"""A difference of two clocks that is worth mending."""
_LISTENS = "0A"
"""The state LISTEN in /proc/net/tcp."""
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said of itself, or why it said nothing (`error`)."""

    url: str
    error: str = ""
    status: int = 0
    node_id: str = ""
    cluster_id: str = ""
    is_primary: bool = False
    path: str = ""
    facts: Mapping[str, object] | None = None
    """`/debug/vars` of pylitefs; None of another program, or without a token."""
    ahead_s: float = 0.0
    """Its clock minus ours."""
    exactness_s: float = 0.0

    @property
    def version(self) -> str:
        return str((self.facts or {}).get("version") or "")


def ask(url: str, token: str = "") -> Answer:
    """One node, by `/info` and `/debug/vars`."""
    try:
        headers = authorization(token)
        with httpx.Client(
            trust_env=False, verify=url.startswith("https:"), timeout=ANSWER_S, headers=headers
        ) as client:
            began = time.time()
            response = client.get(f"{url}/info")
            middle, took = (began + time.time()) / 2, time.time() - began
            info = response.json() if response.is_success else {}
            facts = _facts(client, url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return Answer(url, error=str(error) or type(error).__name__)
    if not isinstance(info, dict):
        info = {}
    ahead, exactness = _clock(response.headers.get("date", ""), middle, took)
    if facts and isinstance(facts.get("nowMs"), int | float):
        ahead, exactness = float(str(facts["nowMs"])) / 1000 - time.time(), took
    return Answer(
        url,
        status=response.status_code,
        node_id=response.headers.get("litefs-id", ""),
        cluster_id=response.headers.get("litefs-cluster-id", ""),
        is_primary=bool(info.get("isPrimary")),
        path=str(info.get("path") or ""),
        facts=facts,
        ahead_s=ahead,
        exactness_s=exactness,
    )


def _facts(client: httpx.Client, url: str) -> Mapping[str, object] | None:
    with suppress(httpx.HTTPError, ValueError):
        response = client.get(f"{url}/debug/vars")
        found = response.json() if response.is_success else None
        if isinstance(found, dict) and "nodeID" in found:
            return found
    return None


def _clock(date: str, middle: float, took: float) -> tuple[float, float]:
    """What an answer's `Date` says of the other clock: it has whole seconds."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - middle, took + 0.5
    except ValueError:
        return 0.0, 0.0


def port(about: str, key: str, address: tuple[str, int], *, ours: bool) -> Iterator[Finding]:
    """Whether a node can listen there; `ours`: this node does."""
    host, number = address
    if ours:
        yield ok(about, f"this node listens on port {number}")
        return
    if host:
        try:
            _bindable(host)
        except OSError as error:
            yield wrong(
                about, f"{host} is no address of this machine: {error.strerror}", f"write {key}: ':{number}'"
            )
            return
    inode = listening().get(number)
    if inode is not None:
        yield wrong(
            about,
            f"{_who(inode)} listens on port {number} already",
            f"end it, or choose another port with {key}",
        )
    elif number < _first_unprivileged() and os.geteuid() != 0:
        yield wrong(about, f"only root may listen on port {number}", f"choose one past 1023 with {key}")
    else:
        yield ok(about, f"port {number} is free")


def _bindable(host: str) -> None:
    """OSError if the host is none of this machine's. A socket without a port of its own says so."""
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(address)


def listening() -> dict[int, str]:
    """Each TCP port of this machine that someone listens on, and the socket's inode."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS:
                    found[int(fields[1].rpartition(":")[2], 16)] = fields[9]
    return found


def _who(inode: str) -> str:
    """The process that has a socket, as far as this user may look."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == f"socket:[{inode}]":
                name = (link.parents[1] / "comm").read_text().strip()
                return f"process {link.parents[1].name} ({name})"
    return "another process"


def _first_unprivileged() -> int:
    try:
        return int(_UNPRIVILEGED.read_text())
    except (OSError, ValueError):
        return 1024


def peer(about: str, answer: Answer, *, cluster_id: str, must_be_primary: bool) -> Iterator[Finding]:
    """Another node of the cluster."""
    url = answer.url
    if answer.error:
        yield wrong(about, f"{url} does not answer: {answer.error}", _why_silent(url))
        return
    if answer.status == httpx.codes.UNAUTHORIZED:
        yield wrong(about, f"{url} wants a token", f"write the cluster's as http.token, or set {VARIABLE}")
        return
    if not answer.node_id:
        yield wrong(about, f"{url} is no LiteFS node", "write the URL of a node's API, http://HOST:20202")
        return
    if cluster_id and answer.cluster_id and cluster_id != answer.cluster_id:
        yield wrong(
            about,
            f"{url} belongs to cluster {answer.cluster_id}, and this node's data to {cluster_id}",
            "correct the URL, or start this node with an empty data.dir",
        )
    elif must_be_primary and not answer.is_primary:
        yield wrong(
            about,
            f"{url} is not the primary",
            "write the primary's URL as lease.advertise-url, or promote it",
        )
    else:
        role = "the primary" if answer.is_primary else "a replica"
        yield ok(about, f"{url} answers and is {role}")
    yield _version(answer)
    yield _skew(answer)


def _why_silent(url: str) -> str:
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return f"the name {host} cannot be resolved: correct it, or add it to DNS or /etc/hosts"
    return "start that node; see that its http.addr is reached from here, and no firewall is between"


def _version(answer: Answer) -> Finding:
    if not answer.version:
        return note("version", f"{answer.url} does not tell its version: another program, or an older one")
    if answer.version == __version__:
        return ok("version", f"{answer.url} runs pylitefs {__version__}, as this machine does")
    return note(
        "version",
        f"{answer.url} runs pylitefs {answer.version}, and this machine has {__version__}: update the older",
    )


def _skew(answer: Answer) -> Finding:
    ahead = answer.ahead_s
    if abs(ahead) < SKEW_S + answer.exactness_s:
        return ok("clock", f"{answer.url} has this machine's time, within {SKEW_S:g} s")
    way = "ahead of" if ahead > 0 else "behind"
    return wrong(
        "clock",
        f"the clock of {answer.url} is {abs(ahead):,.0f} s {way} this machine's",
        "set both by NTP (`timedatectl set-ntp true`)",
    )


def own_url(url: str, own: Answer | None, token: str) -> Iterator[Finding]:
    """Whether what the others are told of this node leads here."""
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        yield wrong(
            "advertise-url",
            f"the name {host} cannot be resolved: {error.strerror}",
            "correct lease.advertise-url, or add the name to DNS or /etc/hosts",
        )
        return
    if own is None:
        yield note("advertise-url", f"{url} is asked only while this node runs")
        return
    found = ask(url, token)
    if found.node_id == own.node_id:
        yield ok("advertise-url", f"{url} leads to this node")
    else:
        what = f"does not answer: {found.error}" if found.error else "leads to another node"
        yield wrong("advertise-url", f"{url} {what}", "write the URL by which others reach this node")


def lease_service(url: str) -> Iterator[Finding]:
    """Whether Consul answers, and knows of a leader of its own. A token in the URL is not shown."""
    about = "lease service"
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield wrong(about, "lease.consul.url is no URL", "write http://HOST:8500/PREFIX")
        return
    headers = {"X-Consul-Token": parts.password} if parts.password else {}
    try:
        response = httpx.get(
            f"{place}/v1/status/leader",
            headers=headers,
            timeout=ANSWER_S,
            trust_env=False,
            verify=parts.scheme == "https",
        )
    except (httpx.HTTPError, OSError) as error:
        yield wrong(
            about, f"{place} does not answer: {error or type(error).__name__}", _why_no_service(place)
        )
        return
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        yield wrong(about, f"{place} refuses this token", "write it into the URL: http://any:TOKEN@HOST:8500")
    elif response.is_success and response.text.strip() == '""':
        yield wrong(
            about, f"{place} has no leader of its own", "look at `consul members`: a majority is down"
        )
    elif response.is_server_error:
        yield wrong(about, f"{place} answers {response.status_code}", "look at its log")
    else:
        yield ok(about, f"{place} answers")


def _why_no_service(place: str) -> str:
    return f"start it, or correct lease.consul.url; `curl {place}/v1/status/leader` tries the same"
