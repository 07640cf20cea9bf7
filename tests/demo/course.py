"""The course's own project, a checkout that PYLITEFS_COURSE names: one line of its Dockerfile is changed.

The rule: nothing of it is kept here. What it builds on (node:20, nginx:alpine) is made of what this machine
has where no registry can be reached, and a machine whose containers may not be privileged lends them what
`privileged` would have brought.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from tests.demo.docker_engine import Engine

THEIRS = re.compile(r"^COPY --from=flyio/litefs\S* .*$", re.MULTILINE)
OURS = "RUN --mount=from=pylitefs,target=/mnt sh /mnt/install.sh"
PROJECT = "pylitefs-test-course"

NODE = """FROM {base}
RUN apt-get update && apt-get install -y --no-install-recommends build-essential python3 && useradd -m node
COPY here /usr/local
ENV npm_config_nodedir=/usr/local
"""
NGINX = "FROM {base}\nRUN apt-get update && apt-get install -y --no-install-recommends nginx-light\n"


def changed_copy(checkout: Path, to: Path) -> None:
    """A copy in which the line that brings the binary in brings pylitefs in."""
    shutil.copytree(checkout, to, ignore=shutil.ignore_patterns(".git", "node_modules"))
    dockerfile = to / "Dockerfile"
    text, lines = THEIRS.subn(OURS, dockerfile.read_text())
    assert lines == 1, "its Dockerfile brings the binary in with one line"
    dockerfile.write_text(text)


def stand_ins(engine: Engine, base: str, folder: Path) -> list[str]:
    """Make what cannot be pulled; the images that were made."""
    made = []
    for image, dockerfile in (("node:20", NODE), ("nginx:alpine", NGINX)):
        if engine.works("image", "inspect", image) or engine.works("pull", image, timeout=120):
            continue
        context = folder / image.partition(":")[0]
        context.mkdir()
        (context / "Dockerfile").write_text(dockerfile.format(base=base))
        if dockerfile is NODE:
            _copy_node(context / "here")
        build = {"image": image, "build": {"context": str(context), "network": "host"}}
        (context / "compose.yml").write_text(yaml.safe_dump({"name": PROJECT, "services": {"it": build}}))
        engine.docker("compose", "-f", str(context / "compose.yml"), "build")
        made.append(image)
    return made


def _copy_node(to: Path) -> None:
    """This machine's Node.js, with npm and the headers that a module is compiled with."""
    program = _say("node", "-p", "process.execPath")
    prefix = Path(program).parent.parent
    (to / "bin").mkdir(parents=True)
    shutil.copy(program, to / "bin" / "node")
    shutil.copytree(prefix / "include" / "node", to / "include" / "node")
    modules = Path(_say("npm", "root", "--global"))
    shutil.copytree(modules / "npm", to / "lib" / "node_modules" / "npm", symlinks=True)
    (to / "bin" / "npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")


def _say(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def overrides(engine: Engine, base: str, file: Path) -> None:
    """What differs on this machine, to be merged into its compose file: ports, and perhaps privileges."""
    lines = ["services:", '  nginx: {ports: !override ["127.0.0.1::80"]%s}']
    node = "ports: !reset []%s"
    if not engine.works("run", "--rm", "--privileged", base, "true"):
        node += ", privileged: false, devices: [/dev/fuse], cap_add: [SYS_ADMIN]"
        node += ', security_opt: ["apparmor:unconfined"]'
    lines += [f"  {name}: {{{node}}}" for name in ("primary", "replica1")]
    network = ", build: {network: host}" if os.environ.get("BUILD_NETWORK") == "host" or engine.own else ""
    file.write_text("\n".join(lines).replace("%s", network) + "\n")
