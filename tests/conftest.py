"""What every test may use: clusters of real nodes, and the switches of `tests/run`."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from pylitefs.cluster.cluster import Cluster, Settings, is_mounted, wait_until
from pylitefs.cluster.nursery import Nursery
from tests import forked
from tests.programs import refuse_others

pytest_plugins = ["tests.watchdog"]

#: Folders of tests without mounts and processes.
PURE = {"config", "ltx", "sqlite", "store"}
#: Of these, what takes longest: it begins first of them, or one worker would be alone with it in the end.
LONG = {"test_crash_points.py", "test_faults.py"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also the tests marked full: soaks, long crashes")
    parser.addoption("--docker", action="store_true", help="the tests marked docker, and no others")


def pytest_configure() -> None:
    """No test starts a program that others may lack; and none inherits that a shell's jobs ignore Ctrl-C.

    A run that is told to end, by `timeout` for one, ends like one with Ctrl-C: what it started goes first.
    """
    sys.addaudithook(refuse_others)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # How quick the machine is at the moment is nothing that Hypothesis is to judge.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One more than there are processors, up to four: half of a test on a mount is waiting.

    The tests with Docker share an engine and its images, and take turns.
    """
    return 0 if config.getoption("--docker") else min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests out by name of the reason; where FUSE is missing and nobody said so, they fail."""
    left_out = set()
    if os.environ.get("PYLITEFS_NO_FUSE") == "1":
        left_out.add("fuse")
    if os.environ.get("PYLITEFS_NO_BROWSER") == "1":
        left_out.add("browser")
    if os.environ.get("PYLITEFS_NO_NGINX") == "1":
        left_out.add("nginx")
    if not config.getoption("--full"):
        left_out.add("full")
    if config.getoption("--docker"):
        deselected = [item for item in items if item.get_closest_marker("docker") is None]
    else:
        left_out.add("docker")
        deselected = [item for item in items if any(mark.name in left_out for mark in item.iter_markers())]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        left = set(items).difference(deselected)
        items[:] = [item for item in items if item in left]
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """What waits for mounts comes first; what only computes fills the gaps at the end."""
    if item.path.relative_to(item.config.rootpath / "tests").parts[0] not in PURE:
        return 0
    return 1 if item.path.name in LONG else 2


class ClusterFactory(Protocol):
    """Starts a cluster of real nodes; it is stopped, and found unmounted, when the test ends."""

    def __call__(
        self,
        replicas: int = 1,
        *,
        settings: Settings | None = None,
        node_settings: Mapping[str, Settings] | None = None,
    ) -> Cluster: ...


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery | None]:
    """Where the clusters of all tests get their nodes from: to load the modules is most of a node's start.

    A module whose tests are about nodes as the command line starts them has a fixture of this name that gives
    None.
    """
    yield forked.shared()


@pytest.fixture(scope="session", autouse=True)
def _forks_end() -> Iterator[None]:
    yield
    forked.close()


@pytest.fixture
def cluster_factory(tmp_path: Path, nursery: Nursery | None) -> Iterator[ClusterFactory]:
    clusters: list[Cluster] = []

    def make(
        replicas: int = 1,
        *,
        settings: Settings | None = None,
        node_settings: Mapping[str, Settings] | None = None,
    ) -> Cluster:
        base = tmp_path / f"cluster{len(clusters) + 1}"
        cluster = Cluster(base, replicas, settings=settings, node_settings=node_settings, nursery=nursery)
        clusters.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in clusters:
        codes = cluster.stop()
        for node in cluster:
            assert codes[node.name] != -signal.SIGABRT, f"{node.name} did not stop:\n{node.log_tail(200)}"
        # A later clean-up of the folder must never walk into a mount: it would drop the databases.
        assert not any(is_mounted(node.mount) for node in cluster)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """`eventually(condition, "what should become true")`: polls with a deadline, and says what never came."""

    def check(condition: Callable[[], bool], what: str = "", seconds: float = 10.0) -> None:
        assert wait_until(condition, seconds), f"after {seconds:.0f} s still not: {what or condition}"

    return check
