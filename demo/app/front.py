"""What stands before the nodes: NGINX's config file, and NGINX in a container.

The rule: NGINX has a fixed list of nodes, which each request takes its turn in; here is who writes that list.
A name of several containers becomes one server each, and whoever comes, goes or gets another address is in
the list a moment later: NGINX itself would look a name up once, at its start.

    front.py        the container's program: ports, names and folders as in docker-compose.yml
"""

import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LOOK_AGAIN_S = 0.5
PRIMARY, REPLICA, NODES_PORT = "primary", "replica", 8080
TO_WHOM_ASKED, TO_THE_PRIMARY = "$pinned", "primary"
"""Where all but GET and HEAD go: any node passes a write on, or none does (real LiteFS, which leaves it to
the platform)."""


def config(
    template: Path,
    directory: Path,
    listen: str,
    primary: Sequence[str],
    replicas: Sequence[str],
    *,
    writes: str = TO_WHOM_ASKED,
) -> str:
    """The text of nginx.conf; its logs and temporary files go to `directory`."""
    return string.Template((template / "nginx.conf.template").read_text()).substitute(
        dir=directory,
        html=template / "html",
        listen=listen,
        primary=_servers(primary),
        replicas=_servers(replicas),
        writes=writes,
    )


def _servers(addresses: Sequence[str]) -> str:
    # max_fails=0: a node that is away is tried again at every turn, and is back as soon as it is back.
    found = " ".join(f"server {address} max_fails=0;" for address in addresses)
    return found or "server 127.0.0.1:1 down;"


def _addresses(name: str) -> list[str]:
    """Of all containers of this name, as Docker's DNS knows them now."""
    try:
        return [f"{address}:{NODES_PORT}" for address in sorted(socket.gethostbyname_ex(name)[2])]
    except OSError:
        return []


def main() -> int:
    template, directory = Path("/nginx"), Path("/run/front")
    writes = (template / "writes").read_text().strip()
    directory.mkdir(exist_ok=True)
    file = directory / "nginx.conf"

    def written() -> str:
        return config(template, directory, "8080", _addresses(PRIMARY), _addresses(REPLICA), writes=writes)

    text = written()
    file.write_text(text)
    log = str(directory / "error.log")
    nginx = subprocess.Popen(["nginx", "-e", log, "-p", str(directory), "-c", str(file)])
    signal.signal(signal.SIGTERM, lambda number, frame: nginx.send_signal(signal.SIGQUIT))
    while nginx.poll() is None:
        time.sleep(LOOK_AGAIN_S)
        if (now := written()) != text:
            text = now
            file.write_text(text)
            nginx.send_signal(signal.SIGHUP)
    return nginx.returncode


if __name__ == "__main__":
    sys.exit(main())
