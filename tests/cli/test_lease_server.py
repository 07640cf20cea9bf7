"""`pylitefs lease-server` as a process."""

import signal
import subprocess
from pathlib import Path

import httpx

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import wait_until
from pylitefs.cluster.ports import free_ports


def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    """It says where, answers, ends with its standard input, and with SIGTERM; both ways with exit code 0."""
    (port,) = free_ports(1, None)
    arguments = [
        "lease-server",
        "-addr",
        f"127.0.0.1:{port}",
        "-dir",
        str(tmp_path / "leases"),
        "--until-eof",
    ]

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/v1/kv/k", trust_env=False).status_code == 404
        except httpx.TransportError:
            return False

    for how in ("eof", "signal"):
        process = subprocess.Popen(
            python_module("pylitefs", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert wait_until(answers, 20)
            assert process.stdin is not None and process.stdout is not None
            if how == "eof":
                process.stdin.close()
            else:
                process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert f"lease service at 127.0.0.1:{port}".encode() in process.stdout.read()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
