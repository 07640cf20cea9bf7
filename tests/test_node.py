"""The node's own end."""

import threading
from pathlib import Path

import pytest

from pylitefs.config import Config, DataConfig, FuseConfig, LeaseConfig
from pylitefs.node import Node


def test_a_node_that_ends_by_itself_lets_its_application_end_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mount must still be there then. The exit code says that the node failed."""
    node = Node(
        Config(
            data=DataConfig(dir=tmp_path / "data"),
            fuse=FuseConfig(dir=tmp_path / "mnt"),
            lease=LeaseConfig(type="static"),
        )
    )
    done: list[str] = []
    ended = threading.Event()

    def stop() -> None:
        done.append("the mount goes")
        node.ended.set()
        ended.set()

    monkeypatch.setattr(node, "stop", stop)
    node.before_end = lambda: done.append("the application ends")
    node._fail(ValueError("a position that cannot be"))
    assert ended.wait(10)
    assert done == ["the application ends", "the mount goes"]
    assert node.wait() == 1
