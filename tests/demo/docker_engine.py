"""Docker for the tests in containers: the engine that runs, or as root one that the test starts.

The rule: an own engine has its own data folder and socket, touches no firewall and no bridge of the machine,
and is gone with all that it made when the block ends. What is missing is said with how to get it.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until

BUILD_S = 1200
#: Settings of pip and npm that a machine behind a package mirror needs in its containers too.
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "npm_config_registry")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
#: Debian's own.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PLUGIN = (
    "apt-get install docker-compose-plugin (Docker's packages), docker-compose-v2 (Ubuntu's) or "
    "docker-compose (Debian's from 13 on), or put what "
    "`go install github.com/docker/compose/v2/cmd@v2.27.0` makes into ~/.docker/cli-plugins as docker-compose"
)

Done = subprocess.CompletedProcess[str]


@dataclass
class Engine:
    """A Docker engine that answers; `docker(…)` runs the command-line client on it."""

    environment: Mapping[str, str]
    own: bool

    def docker(
        self, *arguments: str, check: bool = True, timeout: float = BUILD_S, cwd: Path | None = None
    ) -> Done:
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done

    def works(self, *arguments: str, timeout: float = 60) -> bool:
        try:
            return self.docker(*arguments, check=False, timeout=timeout).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@contextmanager
def engine() -> Iterator[Engine]:
    """The running engine, or one of the test's own."""
    if shutil.which("docker") is None:
        pytest.fail("Docker is not here: apt-get install docker.io (and debootstrap, without a registry)")
    found = Engine(dict(os.environ), own=False)
    if found.works("info"):
        yield found
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.fail("no Docker engine answers: start one, or run this as root with docker.io installed")
    folder = Path(tempfile.mkdtemp(prefix="pylitefs-docker-"))
    try:
        with _own_engine(folder) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@contextmanager
def _own_engine(folder: Path) -> Iterator[Engine]:
    host = f"unix://{folder}/socket"
    places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/run", "--pidfile", f"{folder}/pid"]
    # Ports are published by its proxy process alone, so that the machine's firewall stays as it is.
    alone = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "dockerd", "--host", host, *places, *alone],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        started = Engine({**os.environ, "DOCKER_HOST": host}, own=True)
        assert wait_until(lambda: started.works("info"), 60), (folder / "log").read_text()[-3000:]
        yield started
    finally:
        daemon.terminate()
        daemon.wait(60)
        # It may leave the machine's network under a name of its own, which is a mount.
        for mount in _mounts_below(folder):
            subprocess.run(["umount", mount], check=True)


def _mounts_below(folder: Path) -> list[str]:
    every = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((mount for mount in every if mount.startswith(f"{folder}/")), reverse=True)


def need_compose(engine: Engine) -> None:
    if not engine.works("compose", "version"):
        pytest.fail(f"`docker compose` is not here: {PLUGIN}")


def debian(engine: Engine, suite: str, folder: Path) -> str:
    """A release, such as bookworm, as an image: Debian's official one, or one made of Debian's packages."""
    official = f"debian:{suite}-slim"
    if engine.works("image", "inspect", official) or engine.works("pull", official, timeout=180):
        return official
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.fail(f"{official} cannot be pulled; as root with debootstrap installed it would be made here")
    root = folder / "root"
    own_certificates = any(LOCAL_CERTIFICATES.rglob("*.crt"))
    more = ["--include=ca-certificates"] if own_certificates else []
    command = ["debootstrap", "--variant=minbase", *more, suite, str(root)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert made.returncode == 0, made.stdout[-3000:]
    settings = {name: os.environ[name] for name in INDEXES if name in os.environ}
    if own_certificates:
        shutil.copytree(LOCAL_CERTIFICATES, root / LOCAL_CERTIFICATES.relative_to("/"), dirs_exist_ok=True)
        # Without this machine's environment: the folder that TMPDIR names is not in there.
        renew = ["chroot", str(root), "update-ca-certificates"]
        done = subprocess.run(renew, env={"PATH": PATH}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        settings |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), CERTIFICATES)
    packed = folder / "root.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(packed), "."], check=True)
    shutil.rmtree(root)
    changes = [word for name, value in settings.items() for word in ("--change", f"ENV {name}={value}")]
    name = f"pylitefs-test/debian:{suite}"
    engine.docker("import", *changes, str(packed), name)
    packed.unlink()
    return name
