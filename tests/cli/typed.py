"""`pylitefs lecture` and `replay` as processes, and what their page says."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pylitefs.child_python import python_module


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`pylitefs` with these arguments, its folders under `tmp_path`; ended if the test did not."""
    (tmp_path / "temp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        python_module("pylitefs", *arguments),
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temp"), "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.stdout and process.stdin
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("http://"):
            return line.strip()
    raise AssertionError("no URL was printed")


def asked(url: str, what: dict[str, object]) -> httpx.Response:
    return httpx.post(url.replace("/?", "/do?"), json=what, timeout=60)


def step(url: str) -> None:
    """One step more, once what is under way is done: the nodes start by themselves."""
    deadline = time.monotonic() + 60
    while not (answer := asked(url, {"next": True}).json()).get("ok"):
        assert "still busy" in answer["error"] and time.monotonic() < deadline, answer
        time.sleep(0.02)


def lines_at(url: str) -> list[dict[str, object]]:
    found = httpx.get(url.replace("/?", "/recording?"), timeout=10).text.splitlines()
    return [json.loads(line) for line in found]
