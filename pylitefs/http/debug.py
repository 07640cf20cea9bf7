"""`/debug/*`: what a node looks like from inside, for people and for `pylitefs status`."""

import json
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping

from pylitefs import __version__
from pylitefs.ltx.header import format_txid
from pylitefs.replication.behind import Behind, of_stream
from pylitefs.replication.primary import PrimaryStream
from pylitefs.store.status import now_ms
from pylitefs.store.store import Store

INDEX = """\
/debug/vars             positions, streams, threads, as JSON
/debug/pprof/goroutine  what each thread is doing
/debug/pprof/cmdline    the command line, its words ended by NUL
/metrics                Prometheus metrics
"""

_PROFILERS = {
    "profile": "`py-spy record --pid {pid} --duration 30 -o profile.svg`",
    "trace": "`pylitefs mount -tracing`, or tracing.path in the config file",
    "heap": "`memray attach {pid}`",
    "allocs": "`memray attach {pid}`",
    "threadcreate": "/debug/pprof/goroutine",
    "block": "`py-spy dump --pid {pid}`",
    "mutex": "`py-spy dump --pid {pid}`",
    "symbol": "`py-spy dump --pid {pid}`, which names functions by itself",
}
"""What Go's net/http/pprof has besides, and what tells the same of a Python program."""


def command_line() -> str:
    """As Go's `cmdline` gives it."""
    return "\0".join(sys.argv)


def refused_profile(name: str) -> str:
    """Why there is no such profile, and what tells the same; "" for a name that pprof has not either."""
    remedy = _PROFILERS.get(name, "").format(pid=os.getpid())
    return f"/debug/pprof/{name} is Go's, and this is Python: use {remedy}" if remedy else ""


def variables(store: Store, streams: Iterable[PrimaryStream], latencies: Mapping[str, float]) -> str:
    """The node's internals as JSON; `databases` is what `pylitefs status` shows of a remote node."""
    store.settle()
    status = store.status
    databases: dict[str, object] = {}
    for name, pos in sorted(store.positions().items()):
        database = store.get(name)
        if database is None:
            continue
        databases[name] = {
            "pos": str(pos),
            "txID": format_txid(pos.txid),
            "checksum": f"{pos.checksum:016x}",
            "exists": database.exists,
            "pageSize": database.page_size,
            "pages": database.page_count,
            "timestampMs": database.timestamp_ms,
            "ltxFiles": len(database.ltx_files()),
            "lagSeconds": latencies.get(name, 0.0),
            "counts": dict(database.state.counts),
            "haltedBy": database.state.halted_by if status.is_primary else None,
            "hasHalt": database.state.is_halted,
        }
    values = {
        "cmdline": sys.argv,
        "version": __version__,
        "nowMs": now_ms(),
        "nodeID": store.node_id_text,
        "clusterID": store.cluster_id,
        "dataDir": str(store.data_dir),
        "isPrimary": status.is_primary,
        "ready": status.ready,
        "primary": status.primary_hostname,
        "primaryURL": status.primary_url,
        "lagMs": status.lag_ms(),
        "clockAheadMs": status.skew_ms,
        "disk": store.disk.told,
        "databases": databases,
        "setAside": store.set_aside,
        "lease": _lease(store),
        "roleChanges": [{"atMs": one.at_ms, "text": one.text} for one in status.roles.changes()],
        "backup": _backup(store),
        "streams": [
            {
                "nodeID": stream.request.node_id,
                "databases": sorted(stream.request.databases) if stream.request.databases else None,
                "positions": {name: str(pos) for name, pos in sorted(dict(stream.positions).items())},
                "behind": {name: _as_json(one) for name, one in of_stream(store, stream).items()},
            }
            for stream in streams
        ],
        "threads": threading.active_count(),
    }
    return json.dumps(values, indent=2) + "\n"


def _lease(store: Store) -> dict[str, object] | None:
    """A lease that changes hands, and for how long this node has it; None with a static one."""
    status = store.status
    if not status.lease_ttl:
        return None
    left = status.lease_left
    return {"ttlSeconds": status.lease_ttl, "leftSeconds": None if left is None else round(left, 3)}


def _backup(store: Store) -> dict[str, object] | None:
    """How far the backup is, for people and for `pylitefs status`; None where none is configured."""
    state = store.status.backup
    if state is None:
        return None
    return {
        "url": state.url,
        "isRunning": state.is_running,
        "now": state.now,
        "troubles": state.troubles(),
        "databases": {name: format_txid(txid) for name, txid in sorted(dict(state.positions).items())},
        "files": state.files,
        "bytes": state.size,
        "restores": state.restores,
        "levelAtMs": round(state.level_at * 1000),
    }


def _as_json(behind: Behind) -> dict[str, object]:
    return {
        "transactions": behind.transactions,
        "bytes": behind.size,
        "seconds": round(behind.seconds, 3),
        "snapshot": behind.snapshot,
    }


def thread_dump() -> str:
    """Every thread's stack, as `/debug/pprof/goroutine` gives it for a Go program."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, '?')} ({ident}):\n{stack}")
    return "\n".join(parts)
