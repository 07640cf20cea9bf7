"""How students reach this machine: the addresses of its network interfaces, the likeliest first.

The rule: an address that only this machine reaches is no link for anybody else. Linux's own lists are read,
and nothing is sent: the default route's address is asked of a socket that is connected to nowhere.
"""

import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path

_SIOCGIFADDR = 0x8915
_IPV6 = Path("/proc/net/if_inet6")
_OTHERS = ("docker", "br-", "veth", "virbr", "lxc", "cni")
"""Interfaces to machines inside this one."""


def reachable(host: str) -> list[tuple[str, str]]:
    """Where a server that listens on `host` is reached: each address with its interface's name.

    A host that is no "every interface" is the only one, without a name.
    """
    if host not in ("", "0.0.0.0", "::"):
        return [(host, "")]
    found = [*_ipv4(), *(_ipv6() if host != "0.0.0.0" else ())]
    likely = _default_route()
    order = {True: 0, False: 1}
    return sorted(found, key=lambda one: (one[1].startswith(_OTHERS), order[one[0] == likely], ":" in one[0]))


def link(host: str, port: int, token: str) -> str:
    """The URL of a follower's page."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/?token={token}"


def names() -> list[str]:
    """The names by which this machine may be asked, beside its addresses."""
    own = socket.gethostname()
    return [own, f"{own.partition('.')[0]}.local"]


def _ipv4() -> list[tuple[str, str]]:
    import fcntl  # Not where a lecture is only replayed.

    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # It has none.
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append((socket.inet_ntoa(answer[20:24]), name))
    return [one for one in found if _leads_here(one[0])]


def _ipv6() -> list[tuple[str, str]]:
    try:
        lines = _IPV6.read_text().splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    found = [(str(ipaddress.IPv6Address(bytes.fromhex(one[0]))), one[5]) for one in fields if len(one) == 6]
    return [one for one in found if _leads_here(one[0])]


def _leads_here(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return not (found.is_loopback or found.is_link_local or found.is_unspecified)


def _default_route() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.connect(("192.0.2.1", 9))  # TEST-NET: connecting a datagram socket sends nothing.
        return str(asking.getsockname()[0])
    return ""
