"""What `--bench` measures, a line each: rates, times, and memory.

The rule: each measure leaves the system as it found it but for a few more rows, so that the next round
measures the same thing.
"""

import shutil
from pathlib import Path
from time import perf_counter

from pylitefs.cluster.cluster import ClusterError, wait_until
from pylitefs.compare.bench import many, sustained
from pylitefs.compare.bench.contestant import Contestant, Measure, Size, import_large, large_file
from pylitefs.compare.bench.processes import memory

_INSERT = "INSERT INTO t(b) VALUES (randomblob(100))"
_CHANGE_4_MB = "UPDATE big SET b = randomblob(4000)"
_POINT = "SELECT b FROM r WHERE a = abs(random()) % 1000 + 1"
_SCAN = "SELECT count(*), sum(length(b)), sum(length(c)) FROM t"
_WAIT_SECONDS = 120.0


def measures(size: Size, base: Path) -> list[Measure]:
    """All of them, in the order of the table. `target` is what pylitefs means to reach."""
    few = max(2, size.rounds - 2)
    found = []
    for mode in ("delete", "truncate", "persist", "wal"):
        target = {"wal": "≥ 3", "delete": "≥ 2"}.get(mode, "≥ 1.8")
        found.append(_rate(f"commits, {mode.upper()}", mode, _INSERT, size, target))
    for mode in ("delete", "wal"):
        found.append(_duration(f"one transaction of 4 MB, {mode.upper()}", mode))
    for mode in ("delete", "wal"):
        for prefix, where in (("", "primary"), ("replica ", "replica")):
            name = f"point reads on the {where}, {mode.upper()}"
            found.append(_rate(name, prefix + mode, _POINT, size, "≥ 10"))
    mb = size.megabytes
    for cold, word, target in ((True, "first", "≥ 10"), (False, "second", "plain + 10 %")):
        found.append(_scan(f"{word} scan of {mb} MB", cold=cold, target=target))
    for mode in ("delete", "wal"):
        for word, part in (("", 0.5), (", of ten the slowest", 0.9)):
            found.append(_visible(f"commit to visible, {mode.upper()}{word}", mode, size, part))
    found.extend(sustained.measures(size.commits, _INSERT))
    found.append(Measure(f"import of {mb} MB", "s", False, lambda c: _import(c, base, size), few, "≥ 2"))
    found.append(Measure(f"join with {mb} MB", "s", False, _join, few, "≥ 1.5"))
    found.append(Measure(f"reopen with {mb} MB", "s", False, _reopen, few))
    found.append(Measure("memory of the primary", "MiB", False, lambda c: _memory(c, 0)))
    found.append(Measure("memory of the replica", "MiB", False, lambda c: _memory(c, 1)))
    found.extend(many.measures(size.databases, base))
    return found


def _rate(name: str, connection: str, text: str, size: Size, target: str) -> Measure:
    return Measure(
        name,
        "1/s",
        True,
        lambda contestant: contestant.ask(connection, "rate", text=text, for_seconds=size.seconds),
        target=target,
    )


def _duration(name: str, connection: str) -> Measure:
    def run(contestant: Contestant) -> float:
        return contestant.ask(connection, "duration", texts=[_CHANGE_4_MB])

    return Measure(name, "ms", False, run, target="≥ 1")


def _scan(name: str, *, cold: bool, target: str) -> Measure:
    def run(contestant: Contestant) -> float:
        return contestant.ask("scan", "scan", path=str(contestant.path("large.db")), cold=cold, text=_SCAN)

    return Measure(name, "ms", False, run, target=target)


def _visible(name: str, mode: str, size: Size, part: float) -> Measure:
    def run(contestant: Contestant) -> float | None:
        if contestant.system is None:
            return None
        places = {role: str(contestant.path(f"{mode}.db-pos", role)) for role in ("primary", "replica")}
        return contestant.ask(mode, "visible", text=_INSERT, times=size.visible, part=part, **places)

    return Measure(name, "ms", False, run, target="≥ 1")


def _import(contestant: Contestant, base: Path, size: Size) -> float | None:
    if contestant.system is None:
        return None
    return import_large(contestant, large_file(base, size.megabytes))


def _join(contestant: Contestant) -> float | None:
    """From the start of a replica with an empty data directory until it is where the primary is.

    Its mount alone is looked at: asking its API all the time would be work for both processors.
    """
    if contestant.system is None:
        return None
    primary, replica = contestant.system.pair
    _let_go(contestant, "replica ")
    replica.stop()
    shutil.rmtree(replica.data)
    wanted = (primary.mount / "large.db-pos").read_bytes()
    place = replica.mount / "large.db-pos"
    started = perf_counter()
    replica.start()
    if not wait_until(lambda: _says(place, wanted) or not replica.pid, _WAIT_SECONDS, 0.005):
        raise ClusterError(f"{contestant.name}: the replica does not catch up:\n{replica.log_tail()}")
    took = perf_counter() - started
    replica.wait_ready(_WAIT_SECONDS)
    contestant.settle()
    _open_again(contestant, "replica ", "replica")
    return took


def _says(place: Path, wanted: bytes) -> bool:
    try:
        return place.read_bytes() == wanted
    except OSError:
        return False


def _reopen(contestant: Contestant) -> float | None:
    """From the start of a primary with its databases until it serves them."""
    if contestant.system is None:
        return None
    primary, replica = contestant.system.pair
    _let_go(contestant, "")
    primary.stop()
    started = perf_counter()
    primary.start()
    primary.wait_ready(_WAIT_SECONDS)
    took = perf_counter() - started
    wait_until(replica.is_ready, 10.0)
    contestant.settle()
    _open_again(contestant, "", "primary")
    return took


def _let_go(contestant: Contestant, prefix: str) -> None:
    for mode in ("delete", "truncate", "persist", "wal"):
        contestant.clients.end(prefix + mode)
    contestant.clients.end("scan")


def _open_again(contestant: Contestant, prefix: str, role: str) -> None:
    for mode in ("delete", "truncate", "persist", "wal"):
        path = str(contestant.path(f"{mode}.db", role))
        contestant.clients.get(prefix + mode).ask("open", path=path, timeout=10.0)
        if not prefix:
            text = f"PRAGMA journal_mode={mode}"
            contestant.clients.get(mode).ask("sql", text=text)
            text = "PRAGMA synchronous=normal" if mode == "wal" else "PRAGMA synchronous=full"
            contestant.clients.get(mode).ask("sql", text=text)


def _memory(contestant: Contestant, number: int) -> float | None:
    """MiB of the node's processes that are its own (proportional share of what is shared)."""
    if contestant.system is None:
        return None
    return memory(contestant.system.pair[number].pid)
