"""Every command in the README and the docs is run as it is written, or named here with what covers it.

A fenced block marked `sh` or `console` is commands. Those of the tour run against a real demo, top to
bottom; only what belongs to the machine is put in: the temporary folder, the program, the port.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.child_python import python_module
from pylitefs.cli.main import cli
from pylitefs.cluster.cluster import node_facts, wait_until
from pylitefs.config import check_mountable, load_config
from tests.cli.demo_process import DemoProcess, running_demo, surroundings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Commands that no test can run as written, and where they are covered.
ELSEWHERE = {
    "tests/run": "this very run",
    "tests/run --docker": "that very run",
    "demo/up --app --lag 200ms": "tests/demo/test_app.py",
    "demo/up --failover": "tests/cli/test_demo.py",
    "demo/up --app --failover": "tests/demo/test_app.py",
    "export COMPOSE_FILE=demo/docker-compose.yml": "tests/demo/test_docker.py",
}
#: How commands begin that need a Docker engine; tests/demo/test_docker.py runs them as written.
DOCKER = "docker compose "

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in BLOCK.findall(page.read_text()):
        if language in languages:
            yield text


def commands(page: Path) -> list[str]:
    """The command lines; of a console session those after `$`."""
    plain = [line for text in blocks(page, "sh") for line in text.splitlines()]
    typed = [line[2:] for text in blocks(page, "console") for line in text.splitlines() if line[:2] == "$ "]
    return [line for line in [*plain, *typed] if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    home = tmp_path_factory.mktemp("tour")
    with running_demo(home, "--dir", str(home / "pylitefs-demo")) as process:
        process.wait_for("TXID 0000000000000005")
        yield process


def settled(demo: DemoProcess) -> bool:
    nodes = json.loads((demo.base / "cluster.json").read_text())["nodes"]
    positions = [node_facts(node["url"])["databases"] for node in nodes]
    return len({json.dumps({k: v["pos"] for k, v in one.items()}) for one in positions}) == 1


def as_here(command: str, demo: DemoProcess) -> str:
    """The command, or some lines of them, with this machine's folder, program and port."""
    url = json.loads((demo.base / "cluster.json").read_text())["nodes"][0]["url"]
    # What follows its set-up is the fixture `demo`.
    command = re.sub(r"^demo/up( --dir ~/pylitefs-demo)?$", "demo/up --help", command, flags=re.MULTILINE)
    command = re.sub(r"pylitefs (export|import) ", rf"pylitefs \1 -url {url} ", command)
    return command.replace(".venv/bin/pylitefs", shlex.join(python_module("pylitefs")))


def bash(command: str, demo: DemoProcess) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", as_here(command, demo)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **surroundings(demo.temp_dir)},
    )


@pytest.mark.fuse
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_works_as_written(page: Path, demo: DemoProcess) -> None:
    for command in commands(page):
        if command in ELSEWHERE or command.startswith(DOCKER):
            continue
        done = bash(command, demo)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        # The next command may read on a replica what this one wrote.
        assert wait_until(lambda: settled(demo), 10), command


@pytest.mark.fuse
def test_the_tour_runs_as_one_script(demo: DemoProcess) -> None:
    """Nobody waits between two commands: a read on a replica right after a write is not turned away."""
    tour = [line for line in commands(ROOT / "README.md") if line not in ELSEWHERE]
    done = bash("\n".join(["set -e", *tour]), demo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "locked" not in done.stderr


@pytest.mark.fuse
def test_the_tour_shows_what_it_says(demo: DemoProcess) -> None:
    """The answers that the README's prose promises."""

    def answer(command: str) -> str:
        [written] = [line for line in commands(ROOT / "README.md") if command in line]
        return bash(written, demo).stdout

    answer("UPDATE customers")
    assert wait_until(lambda: settled(demo), 10)
    assert answer("SELECT name, city").endswith("|Oslo\n")
    assert answer("DELETE FROM customers") == "n1\n", "the replica refuses, and names the primary"
    first, second = answer("sample.db-pos").splitlines()
    assert first == second


def test_every_pylitefs_command_in_the_prose_exists() -> None:
    names = set(cli.list_commands(None))  # type: ignore[arg-type]
    for page in PAGES:
        for name in re.findall(r"`(?:\.venv/bin/)?pylitefs ([a-z]+(?:-[a-z]+)*)", page.read_text()):
            assert name in names, f"{page.name}: pylitefs {name}"


def test_every_yaml_in_the_docs_is_a_config_that_mounts(tmp_path: Path) -> None:
    for page in PAGES:
        for text in blocks(page, "yaml", "yml"):
            (tmp_path / "litefs.yml").write_text(text)
            assert check_mountable(load_config(tmp_path / "litefs.yml")) == []


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|look:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_config_page_names_every_key() -> None:
    from pylitefs.config.yaml import all_keys

    text = (ROOT / "docs" / "config.md").read_text()
    for key in all_keys():
        assert key in text or re.search(rf"`{re.escape(key.rpartition('.')[2])}`", text), key
