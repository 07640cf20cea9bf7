"""All checks together: on a node that runs and one that does not, and on a config file that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pylitefs.config.token import VARIABLE
from pylitefs.doctor.examine import examine
from pylitefs.doctor.finding import Finding, Verdict
from tests.conftest import ClusterFactory
from tests.doctor.test_network import http, silent_port


def write(folder: Path, **sections: object) -> Path:
    config = {
        "fuse": {"dir": str(folder / "mnt")},
        "data": {"dir": str(folder / "data")},
        "http": {"addr": f"127.0.0.1:{silent_port()}"},
        "lease": {"type": "static"},
        **sections,
    }
    path = folder / "litefs.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def wrongs(path: Path | None, *urls: str) -> list[str]:
    return [f"{one.about}: {one.text}" for one in examine(path, urls) if one.is_wrong]


def of_node(findings: list[Finding]) -> list[Finding]:
    """Without what is the machine's."""
    return [one for one in findings if one.about not in ("fuse", "descriptors", "mounts", "disk")]


def test_a_node_that_could_start(tmp_path: Path) -> None:
    """Nothing is made, and nothing is wrong."""
    path = write(tmp_path, backup={"type": "file", "path": str(tmp_path / "b")})
    before = sorted(tmp_path.rglob("*"))
    found = of_node(list(examine(path)))
    assert {one.verdict for one in found} <= {Verdict.OK, Verdict.NOTE}
    assert [one.about for one in found] == ["config", "data directory", "mount", "backup", "backup", "port"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_config_that_is_wrong_does_not_hide_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("lease: {typo: static}")
    found = list(examine(broken, ["http://no-such-host.invalid:1/"]))
    assert found[0].is_wrong and "broken.yml:1: lease.typo: unknown key" in found[0].text
    assert {"fuse", "descriptors", "peer"} <= {one.about for one in found}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    if not Path("/etc/litefs.yml").exists():
        assert "no config file" in wrongs(None)[0]
    refused = write(tmp_path, backup={"type": "litefs-cloud"}, exec=[{"cmd": "x"}])
    text = wrongs(refused)[0]
    assert text.startswith("config:") and "ended in October 2024" in text


def test_what_a_config_asks_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica's primary, and the lease service of a file that wants one."""
    monkeypatch.setenv(VARIABLE, "short")
    nobody = f"http://127.0.0.1:{silent_port()}"
    replica = write(tmp_path, lease={"type": "static", "candidate": False, "advertise-url": nobody})
    assert any(f"primary: {nobody} does not answer" in one for one in wrongs(replica))
    with http(lambda path: (403, "")) as consul:
        path = write(
            tmp_path,
            lease={"type": "consul", "advertise-url": nobody, "consul": {"url": consul, "key": "k"}},
            proxy={"addr": "http://no"},
        )
        assert any("lease service" in one and "refuses this token" in one for one in wrongs(path))


@pytest.mark.fuse
def test_a_cluster_that_runs(
    cluster_factory: ClusterFactory, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Nothing is wrong on either node, and what a node knows to be wrong is told."""
    place = tmp_path / "backup"
    settings = {"backup": {"type": "file", "path": str(place), "full-sync-interval": "50ms"}}
    cluster = cluster_factory(replicas=1, settings=settings)
    primary, replica = cluster.nodes
    for node in cluster:
        assert wrongs(node.config) == []
        assert f"node: {node.url} runs as" in " ".join(
            f"{one.about}: {one.text}" for one in examine(node.config, [primary.url])
        )
    assert wrongs(primary.config, replica.url) == []
    place.rename(tmp_path / "away")
    eventually(lambda: any(one.startswith("backup: ") for one in wrongs(primary.config)), "the trouble")
    (tmp_path / "away").rename(place)
    (tmp_path / "third").mkdir()
    third = write(
        tmp_path / "third", lease={"type": "static", "candidate": False, "advertise-url": replica.url}
    )
    assert any("is not the primary" in one for one in wrongs(third))
    replica.kill9()
    dead = f"mounts: {replica.mount} is the mount of a node that was killed"
    eventually(lambda: any(dead in one for one in wrongs(replica.config)), dead)
