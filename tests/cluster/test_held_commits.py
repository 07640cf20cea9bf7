"""Commits held between two bytes: who goes on, who is told "database is locked", and what ends a hold."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted, node_facts, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.replication.frames import Decoder, LtxBegin, LtxChunk, LtxEnd
from pylitefs.sqlite.locks import SHARED_FIRST, SHARED_SIZE
from tests.cluster.clients import Client, Clients
from tests.cluster.watched import Message, Watched, assert_answers, look

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(100)]

LOCKED = {"error": "database is locked"}
COUNT = "SELECT count(*) FROM t"
NOBODY = 65534


@pytest.fixture(scope="module")
def cluster(nursery: Nursery | None) -> Iterator[Cluster]:
    """Also for ordinary users, who may not enter pytest's own folders."""
    settings = {"data": {"compress": False}, "fuse": {"allow-other": True}}
    with TemporaryDirectory(prefix="pylitefs-held-") as base:
        os.chmod(base, 0o755)
        with Cluster(Path(base), 2, controlled=True, settings=settings, nursery=nursery) as made:
            yield made
        assert not any(is_mounted(node.mount) for node in made)


@pytest.fixture
def clients(cluster: Cluster) -> Iterator[Clients]:
    """They end before the cluster does, and nothing is held any more by then."""
    made = Clients()
    yield made
    for node in cluster:
        if node.pid and node.control:
            node.control.hold(None)
    made.discard_all()


def begin(cluster: Cluster, clients: Clients, name: str, mode: str) -> tuple[Client, list[Client]]:
    """A database with one row: its writer, and a reader on each node; none of them waits for locks."""
    writer = clients(cluster.primary, name, timeout=0)
    writer.sql("PRAGMA page_size=1024", f"PRAGMA journal_mode={mode}", "CREATE TABLE t (x)")
    writer.sql("INSERT INTO t VALUES (1)")
    cluster.wait_synced()
    readers = [clients(node, name, timeout=0) for node in cluster]
    assert all(reader.sql(COUNT) == [[1]] for reader in readers)
    return writer, readers


def insert(writer: Client) -> None:
    """Begin a transaction that will be held; `answered` takes its answer."""
    writer.tell("sql", sql=["INSERT INTO t VALUES (2)"])


def answered(writer: Client) -> object:
    return writer._answer(20.0)


def has_answer(writer: Client) -> bool:
    assert writer.process.stdout
    return bool(select.select([writer.process.stdout], [], [], 0)[0])


def is_exclusive(writer: Client) -> bool:
    """Whether it holds all of SQLite's SHARED bytes to write."""
    last = str(SHARED_FIRST + SHARED_SIZE - 1)
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(lock[3:5] == ["WRITE", str(writer.pid)] and lock[-1] == last for lock in locks)


def ask(client: Client, *statements: str) -> object:
    """The answer of a client that is not to wait for long."""
    return client.ask("sql", 5.0, sql=statements)


def seen_everywhere(readers: list[Client], count: int, seconds: float) -> bool:
    """Whether every reader sees so many rows within `seconds`."""
    expected = {"rows": [[count]]}
    return wait_until(lambda: all(ask(reader, COUNT) == expected for reader in readers), seconds, 0.01)


@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.full)])
def test_readers_go_on_everywhere_while_a_wal_commit_is_held(
    cluster: Cluster, clients: Clients, database: str, seconds: float
) -> None:
    """In the write of its commit frame, before the capture; released, it is everywhere within a second.

    (New connections are an ordinary user's: run by root, SQLite chowns the WAL that it opens, and that
    waits in the kernel for the write that is held.)
    """
    writer, readers = begin(cluster, clients, database, "wal")
    guests = [clients(node, database, timeout=0, euid=NOBODY) for node in cluster]
    watched = Watched(cluster.primary)
    watched.hold("wal.frame", database=database)
    insert(writer)
    while not is_commit_frame(watched.wait_held()):
        watched.let()
    deadline = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < deadline or rounds < 3:
        for node, reader, guest in zip(cluster, readers, guests, strict=True):
            assert ask(reader, "BEGIN", COUNT, "COMMIT") == {"rows": []}
            assert ask(reader, COUNT) == {"rows": [[1]]}
            guest.ask("reconnect", 5.0)
            assert ask(guest, COUNT) == {"rows": [[1]]}
            assert_answers(node)
            assert look(node, database) == str(node.positions()[database])
        rounds += 1
    assert not has_answer(writer), "the writer waits"
    assert ask(guests[0], "INSERT INTO t VALUES (3)") == LOCKED
    watched.go_on()
    assert seen_everywhere([*readers, *guests], 2, 1.0)
    assert answered(writer) == {"rows": []}
    cluster.wait_synced()


def is_commit_frame(message: Message) -> bool:
    """Whether its last byte was just written."""
    payload = message["event"]["payload"]
    return bool(payload["commit"]) and "page" in payload["parts"].split(", ")


@pytest.mark.parametrize("name", ["wal.frame", "wal.commit", "ltx.encode", "ltx.commit", "pos.advance"])
def test_a_wal_commit_is_in_no_reader_s_way_wherever_it_is_held(
    cluster: Cluster, clients: Clients, database: str, name: str
) -> None:
    """Also for connections that come and go in dozens: none of their calls waits for the held one. (Once the
    position is to move, SQLite's readers on the primary see the row.)"""
    rows = [[2 if name == "pos.advance" else 1]]
    writer, readers = begin(cluster, clients, database, "wal")
    guest = clients(cluster.primary, database, timeout=0, euid=NOBODY)
    watched = Watched(cluster.primary)
    watched.hold(name, database=database)
    insert(writer)
    watched.wait_held()
    for _ in range(40):
        guest.ask("reconnect", 5.0)
        assert ask(guest, COUNT) == {"rows": rows}
    for node in cluster:
        assert_answers(node)
        look(node, database)
    watched.go_on()
    assert answered(writer) == {"rows": []}
    assert seen_everywhere(readers, 2, 10.0)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_held_rollback_commit_locks_readers_out_only_once_it_is_exclusive(
    cluster: Cluster, clients: Clients, database: str, mode: str
) -> None:
    """At every step of the commit: readers there read until SQLite takes EXCLUSIVE, then they get
    "database is locked"; replicas read on; the mount's names and the node's API answer. (But a held
    unlink, as which DELETE commits, keeps who looks names up waiting: that is the kernel's.)"""
    writer, readers = begin(cluster, clients, database, mode)
    own, others = readers[0], readers[1:]
    watched = Watched(cluster.primary)
    watched.hold(database=database, **{"except": ["catchup.decide", "stream.send"]})
    insert(writer)
    names: list[str] = []
    turned_away: list[str] = []
    while (message := watched.held_or(lambda: has_answer(writer))) is not None:
        name = message["event"]["name"]
        names.append(name)
        exclusive = is_exclusive(writer)
        turned_away += [name] if exclusive else []
        unlinking = mode == "delete" and "journal.invalidate" in names
        assert ask(own, COUNT) == (LOCKED if exclusive else {"rows": [[1]]}), name
        if not unlinking:
            own.ask("reconnect", 5.0)
            assert ask(own, COUNT) == (LOCKED if exclusive else {"rows": [[1]]}), name
            look(cluster.primary, database)
        may_be: list[object] = [{"rows": [[1]]}]
        if "pos.advance" in names[:-1]:
            # The transaction is on its way: a replica has a moment of EXCLUSIVE too.
            may_be += [{"rows": [[2]]}, LOCKED]
        assert all(ask(reader, COUNT) in may_be for reader in others), name
        assert_answers(cluster.primary)
        watched.let()
    watched.go_on()
    assert answered(writer) == {"rows": []}
    assert {"journal.sync", "page.write", "pos.advance"} <= set(turned_away)
    assert len(names) - len(turned_away) >= 4, "the header and the first page are journalled among readers"
    assert ("journal.open" in names) == (mode == "delete")
    assert set(names) >= {
        "journal.write", "journal.sync", "page.write", "journal.invalidate", "ltx.encode", "ltx.commit",
        "pos.advance",
    }  # fmt: skip
    assert seen_everywhere(readers, 2, 10.0)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_apply_that_is_held_keeps_only_its_own_node_s_new_readers_out(
    cluster: Cluster, clients: Clients, database: str, mode: str
) -> None:
    """The primary, the other replica, the names and the API of this one go on; released, it catches up."""
    writer, readers = begin(cluster, clients, database, mode)
    watched = Watched(cluster.nodes[1])
    watched.hold("page.apply", database=database)
    writer.sql("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)")
    message = watched.wait_held()
    assert message["event"]["payload"]["applier"] is True
    assert seen_everywhere([readers[0], readers[2]], 3, 5.0)
    assert ask(readers[1], COUNT) == LOCKED
    for node in cluster:
        look(node, database)
        assert_answers(node)
    watched.go_on()
    assert seen_everywhere(readers, 3, 10.0)


def test_a_killed_lecture_lets_everything_go_on(tmp_path: Path) -> None:
    """`kill -9` of the process with the other end, while it holds a commit and an apply."""
    clients, lectures = Clients(), []
    with Cluster(tmp_path, replicas=1, controlled=True) as cluster:
        try:
            for node, name in zip(cluster, ("journal.write", "page.apply"), strict=True):
                assert node.control
                lectures.append(hand_over(node.control._ours, name, "held.db"))
            writer = clients(cluster.primary, "held.db", timeout=0)
            writer.tell("sql", sql=["CREATE TABLE t AS SELECT 1"])
            holds(lectures[0])
            assert not has_answer(writer)
            lectures[0].kill()
            assert answered(writer) == {"rows": []}
            holds(lectures[1])
            assert "held.db" not in cluster.nodes[1].positions()
            lectures[1].kill()
            cluster.wait_synced()
            assert clients(cluster.nodes[1], "held.db").sql(COUNT) == [[1]]
        finally:
            clients.discard_all()
            for lecture in lectures:
                lecture.kill()
                lecture.wait(10)
                assert lecture.stdout
                lecture.stdout.close()


LECTURE = """
import json, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
rule = {"names": [sys.argv[2]], "database": sys.argv[3]}
for request in ({"do": "record", "id": 1}, {"do": "hold", "rule": rule, "id": 2}):
    channel.sendall(json.dumps(request).encode() + b"\\n")
for line in channel.makefile():
    if '"held":true' in line or json.loads(line).get("id") == 2:
        print(line, end="", flush=True)
"""


def holds(lecture: "subprocess.Popen[str]") -> None:
    """Wait until it holds something."""
    assert lecture.stdout and json.loads(lecture.stdout.readline())["held"] is True


def hand_over(channel: socket.socket, name: str, database: str) -> "subprocess.Popen[str]":
    """Another process takes the lecture's end of a channel, and holds what is named from now on."""
    with channel:
        lecture = subprocess.Popen(
            [sys.executable, "-c", LECTURE, str(channel.fileno()), name, database],
            pass_fds=[channel.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
    assert lecture.stdout and lecture.stdout.readline(), "the node has answered that it holds"
    return lecture


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "wal.frame"), (0, "pos.advance"), (0, "stream.send"),
        (1, "stream.receive"), (1, "ltx.store"), (1, "page.apply"), (1, "pos.advance"),
    ],
)  # fmt: skip
def test_a_node_that_is_told_to_end_does_so_whatever_is_held(
    cluster: Cluster, clients: Clients, database: str, number: int, name: str
) -> None:
    """The lecture is there and lets nothing go: the node does so itself, first of all."""
    writer, readers = begin(cluster, clients, database, "wal")
    node = cluster.nodes[number]
    watched = Watched(node)
    watched.hold(name, database=database)
    insert(writer)
    watched.wait_held()
    node.tell_to_end()
    assert node.wait(10) == 0
    assert not is_mounted(node.mount)
    if number:
        assert answered(writer) == {"rows": []}
        assert seen_everywhere([readers[0], readers[2]], 2, 10.0)
    assert watched.control.ended.wait(5)
    node.restart()
    cluster.wait_synced()
    assert clients(cluster.nodes[2], database).sql(COUNT) == [[2]]


@pytest.mark.parametrize("name", ["page.write", "ltx.commit"])
def test_a_node_killed_behind_a_held_event_comes_back_whole(
    cluster: Cluster, clients: Clients, database: str, name: str
) -> None:
    """`kill -9` of the node: its client is told, the lecture hears the end, recovery leaves a whole one."""
    writer, _ = begin(cluster, clients, database, "truncate")
    watched = Watched(cluster.primary)
    watched.hold(name, database=database)
    insert(writer)
    watched.wait_held()
    cluster.primary.kill9()
    assert watched.control.ended.wait(5)
    with pytest.raises(EOFError):
        watched.control.let_all()
    answer = answered(writer)
    assert isinstance(answer, dict) and "error" in answer
    cluster.primary.restart()
    cluster.wait_synced()
    expected = 2 if name == "ltx.commit" else 1
    for node in cluster:
        client = clients(node, database)
        assert client.sql(COUNT) == [[expected]]
        assert client.sql("PRAGMA integrity_check") == [["ok"]]


def test_a_killed_lecture_takes_its_nodes_along_cleanly(tmp_path: Path) -> None:
    """`kill -9` of the process that started nodes and holds a commit: they let go, unmount and end."""
    script = (
        "import sys, time; from pathlib import Path; from pylitefs.cluster.cluster import Cluster\n"
        "cluster = Cluster(Path(sys.argv[1]), replicas=1, controlled=True); cluster.start()\n"
        "cluster.primary.control.hold({'names': ['ltx.commit']})\n"
        "print(cluster.primary.database('a.db'), *(node.process.pid for node in cluster), flush=True)\n"
        "time.sleep(600)\n"
    )
    lecture = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert lecture.stdout
    path, *pids = lecture.stdout.readline().split()
    writer = subprocess.Popen(["sqlite3", path, "CREATE TABLE t AS SELECT 1"], stderr=subprocess.DEVNULL)
    journal = tmp_path / "n1/data/dbs/a.db/ltx"
    assert wait_until(lambda: journal.is_dir() and bool(list(journal.iterdir())), 10)
    lecture.send_signal(signal.SIGKILL)
    lecture.wait(10)
    lecture.stdout.close()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
    writer.wait(10)
    assert not is_mounted(tmp_path / "n1/mnt") and not is_mounted(tmp_path / "n2/mnt")
    assert len(list(journal.iterdir())) == 1


def test_thousands_of_events_of_one_commit_are_told_with_their_bytes(
    cluster: Cluster, clients: Clients, database: str
) -> None:
    """3,000 pages: more than 10,000 events on three nodes, each in its order, and none is lost."""
    writer, readers = begin(cluster, clients, database, "wal")
    watched = [Watched(node) for node in cluster]
    started = time.monotonic()
    writer.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "INSERT INTO t SELECT randomblob(900) FROM n",
        seconds=60,
    )
    assert seen_everywhere(readers, 3001, 30.0)
    for one in watched:
        one.control.ping()
    assert time.monotonic() - started < 60
    told = [message for one in watched for message in one.messages]
    assert len(told) > 10_000
    for one in watched:
        seqs = [message["event"]["seq"] for message in one.messages]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    pages = {
        message["event"]["payload"]["pgno"]
        for message in watched[1].messages
        if message["event"]["name"] == "page.apply" and "pgno" in message["event"]["payload"]
    }
    assert len(pages) >= 3000
    assert os.path.exists(cluster.primary.data)


def test_a_frame_is_told_with_the_same_bytes_where_it_leaves_and_where_it_arrives(
    cluster: Cluster, clients: Clients, database: str
) -> None:
    """As on the wire: with the LTX file, in chunks. Each end names the other by its node id."""
    writer, readers = begin(cluster, clients, database, "delete")
    watched = [Watched(node) for node in cluster.nodes[:2]]
    writer.sql("INSERT INTO t VALUES (2)")
    assert seen_everywhere(readers, 2, 10.0)
    for one in watched:
        one.control.ping()
    ids = [str(node_facts(node.url)["nodeID"]) for node in cluster.nodes[:2]]
    (sent,) = (
        message
        for message in watched[0].messages
        if message["event"]["name"] == "stream.send" and message["event"]["payload"]["peer"] == ids[1]
    )
    (received,) = (message for message in watched[1].messages if message["event"]["name"] == "stream.receive")
    assert received["event"]["payload"]["peer"] == ids[0]
    assert sent["bytes"] == received["bytes"]
    (kept,) = (message for message in watched[0].messages if message["event"]["name"] == "ltx.commit")
    frames = list(Decoder().feed(base64.b64decode(sent["bytes"][0]["data"])))
    body = b"".join(frame.data for frame in frames if isinstance(frame, LtxChunk))
    assert body == base64.b64decode(kept["bytes"][0]["data"])
    assert frames[0] == LtxBegin(database) and frames[-1] == LtxEnd()


def test_a_node_that_starts_is_seen_recovering_and_may_be_held_there(
    cluster: Cluster, clients: Clients
) -> None:
    """The channel is there before anything is: recovery comes with what it found, and can be stepped."""
    name = "recovering.db"
    writer, _ = begin(cluster, clients, name, "delete")
    node = cluster.nodes[1]
    node.stop()
    watched = Watched(node, start={"names": ["recovery.begin"], "database": name})
    message = watched.wait_held()
    assert {"ltx", "database"} <= {piece["file"] for piece in message["bytes"]}
    assert not node.is_ready()
    watched.go_on()
    node.wait_ready()
    writer.sql("INSERT INTO t VALUES (2)")
    cluster.wait_synced()
