"""The director on real mounts: what is held, what a step releases, what goes on meanwhile; how it ends."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted
from pylitefs.errors import ExpectError, LessonError
from pylitefs.lecture.live import director
from tests.lecture.conducted import Conducted

pytestmark = pytest.mark.fuse

TABLE = "sql n1 CREATE TABLE t(a); INSERT INTO t VALUES (1)"


@pytest.fixture
def lecture(tmp_path: Path) -> Iterator[Conducted]:
    with Conducted(tmp_path) as one:
        yield one


def test_a_commit_is_stepped_through_and_its_shell_really_waits(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1", TABLE, "expect same n1 n2", "pause without lock")
    told = lecture.run("sql n1 INSERT INTO t VALUES (2)")
    assert told[0].name == "sql" and told[-1].name == "journal.open"
    assert all(one.name.startswith("lock.") for one in told[1:-1])
    assert [one for one in told if one.stop] == [told[-1]]
    assert lecture.held("n1") == ["journal.open"] and lecture.held("n2") == []
    assert lecture.state["sql/n1/a"]["state"] == "running" and lecture.state["mode"] == "paused"
    names = []
    while lecture.director.scene.holds:
        told = lecture.run("step")
        assert told[0].kind == "command" and told[-1].stop
        assert not any(one.stop for one in told[:-1])
        passed = [one for one in told if one.kind == "event" and not one.name.startswith("lock.")]
        names += [(one.node, one.name) for one in passed]
    assert [name for node, name in names if node == "n1"][-6:] == [
        "journal.invalidate", "ltx.encode", "ltx.commit", "pos.advance", "catchup.decide", "stream.send"
    ]  # fmt: skip
    assert [name for node, name in names if node == "n2"] == [
        "stream.receive", "ltx.verify", "ltx.store", "page.apply", "page.apply", "page.apply", "pos.advance"
    ]  # fmt: skip
    lecture.run("expect n1 done", "expect n2 at 3", "expect same n1 n2")
    assert [one.seq for one in lecture.entries] == list(range(len(lecture.entries)))
    assert all(a.t_ms <= b.t_ms for a, b in zip(lecture.entries, lecture.entries[1:], strict=False))


def test_the_same_commands_give_the_same_steps(tmp_path: Path) -> None:
    """With two replicas, whose frames travel at the same time, and locks, which come from three processes."""
    lines = ["cluster replicas 2", TABLE, "expect same n1 n2 n3", "pause", "sql n1 UPDATE t SET a = 7"]
    lines += ["run-to ltx.commit"] + ["step"] * 24
    told = []
    for number in range(2):
        with Conducted(tmp_path / str(number)) as one:
            one.run(*lines[:4])
            begin = len(one.entries)
            one.run(*lines[4:])
            steps: list[list[tuple[str, str]]] = []
            for entry in one.entries[begin:]:
                if entry.kind == "command":
                    steps.append([])
                steps[-1].append((entry.node, entry.name))
            # Within a step nodes work side by side; what a step brings is the same.
            told.append([sorted(step) for step in steps])
    assert told[0] == told[1]


def test_in_wal_mode_readers_go_on_everywhere_while_a_commit_is_held(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1 journal wal", TABLE, "expect same n1 n2", "pause without lock")
    lecture.run("sql n1 INSERT INTO t VALUES (2)", "run-to wal.commit n1", "expect n1 waits")
    for _ in range(3):
        lecture.run(
            'expect n1 sql "SELECT count(*) FROM t" = 1', 'expect n2 sql "SELECT count(*) FROM t" = 1'
        )
    lecture.run("sql n1/b SELECT count(*) FROM t", "expect n1/b done")
    released = time.monotonic()
    lecture.run(
        "run", 'expect n1 sql "SELECT count(*) FROM t" = 2', 'expect n2 sql "SELECT count(*) FROM t" = 2'
    )
    assert time.monotonic() - released < 5
    lecture.run("expect n1 done", "expect same n1 n2")


def test_in_a_rollback_mode_readers_are_turned_away_there_once_sqlite_has_exclusive(
    lecture: Conducted,
) -> None:
    lecture.run("cluster replicas 1", TABLE, "expect same n1 n2", "pause")
    lecture.run("sql n1 INSERT INTO t VALUES (2)", "run-to journal.open")
    lecture.run('expect n1 sql "SELECT count(*) FROM t" = 1')
    lecture.run("run-to ltx.commit", 'expect n1 sql "SELECT count(*) FROM t" fails database is locked')
    lecture.run('expect n2 sql "SELECT count(*) FROM t" = 1')
    locks = lecture.state["db/n1/data.db/locks"]
    assert {one["lock"] for one in locks if one["kind"] == "write"} >= {"RESERVED", "PENDING", "EXCLUSIVE"}
    lecture.run("run-to page.apply n2", 'expect n2 sql "SELECT count(*) FROM t" fails database is locked')
    lecture.run(
        'expect n1 sql "SELECT count(*) FROM t" = 2', "run", 'expect n2 sql "SELECT count(*) FROM t" = 2'
    )


def test_who_only_looks_is_no_part_of_the_history(lecture: Conducted) -> None:
    lecture.run("cluster replicas 0", TABLE, "pause")
    before = len(lecture.entries)
    lecture.run(
        'expect n1 sql "SELECT count(*) FROM t" = 1', 'expect n1 sql "SELECT * FROM x" fails no such table'
    )
    assert [(one.kind, one.stop) for one in lecture.entries[before:]] == [("command", False)] * 2
    assert not lecture.director.scene.holds


def test_a_way_can_be_cut_slow_dropped_wrong_and_healed(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1", TABLE, "expect same n1 n2", "partition n2")
    assert lecture.state["node/n2/link"] == {"state": "cut", "delay_ms": 0, "to": "n1"}
    lecture.run("sql n1 INSERT INTO t VALUES (2)", "expect n1 at 3", "expect n2 at 2", "expect differ n1 n2")
    lecture.run("heal n2", "expect n2 at 3", "drop n2", "expect n1 event stream.connect")
    lecture.run("corrupt n2 link", "sql n1 INSERT INTO t VALUES (3)", "expect n2 at 4", "expect same n1 n2")
    assert len(lecture.events("stream.connect", "n1")) == 4, (
        "at first, healed, dropped, and after the wrong byte"
    )
    began = time.monotonic()
    lecture.run("delay n2 300ms", "sql n1 INSERT INTO t VALUES (4)")
    lecture.run("expect n2 at 5")
    assert time.monotonic() - began >= 0.3
    lecture.run("heal", "pause without lock", "delay n2 200ms", "sql n1 INSERT INTO t VALUES (5)")
    lecture.run("run-to stream.receive n2", "expect n2 held stream.receive", "run")
    assert not lecture.events("kill")


def test_a_killed_writer_s_journal_is_rolled_back_and_roles_change(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1", TABLE, "expect same n1 n2", "pause", "sql n1 UPDATE t SET a = 2")
    lecture.run("run-to ltx.encode", "kill n1", "expect n1 role down", "expect n1 fails n1 ended", "run")
    assert lecture.state["node/n1/held"] == [] and lecture.state["db/n1/data.db/locks"] == []
    lecture.run("restart n1", "expect n1 event recovery.journal", "expect n1 at 2", "expect same n1 n2")
    lecture.run("restart n2 as primary", "sql n2 UPDATE t SET a = 3", "sql n1 UPDATE t SET a = 4")
    lecture.run(
        "expect n2 role primary", "expect differ n1 n2", "restart n1 as replica", "expect n1 role replica"
    )
    lecture.run("expect same n1 n2", 'expect n1 sql "SELECT a FROM t" = 3')
    assert lecture.state["node/n1/link"]["to"] == "n2" and "node/n2/link" not in lecture.state


def test_a_recovery_can_be_stepped_through(lecture: Conducted) -> None:
    lecture.run("cluster replicas 0", TABLE, "pause without lock", "sql n1 UPDATE t SET a = 2")
    lecture.run("run-to journal.invalidate", "kill n1", "restart n1", "expect n1 held recovery.begin")
    lecture.run("step", "expect n1 held recovery.journal", "run", 'expect n1 sql "SELECT a FROM t" = 1')


def test_a_node_that_cannot_go_on_is_told_of(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1 compress", TABLE, "expect same n1 n2")
    lecture.run("kill n2")
    (lecture.base_dir / "n2" / "data" / "clusterid").write_text("no cluster's id")
    lecture.run("restart n2", "expect n2 role down")
    (told,) = lecture.events("end", "n2")
    assert told.kind == "fault" and "exit code 1" in told.text
    with pytest.raises(LessonError, match="n2 is down: start it again with `restart n2`"):
        lecture.run("sql n2 SELECT 1")


def test_what_cannot_be_done_is_named_with_its_remedy(lecture: Conducted) -> None:
    with pytest.raises(LessonError, match="there are no nodes yet: begin with `cluster replicas 1`"):
        lecture.run("sql n1 SELECT 1")
    lecture.run("cluster replicas 0", TABLE)
    for line, text in {
        "sql n7 SELECT 1": "there is no node n7; there is: n1",
        "partition n1": "n1 is a primary and follows nobody",
        "step": r"nothing is held \(held: nothing\): give it something to do",
        "run-to ltx.commit": "ltx.commit was not passed, and nothing goes on any more",
        "corrupt n1 journal": "there is no .*/journal: nothing to corrupt",
        "restart n1 as replica": "whom is n1 to follow",
    }.items():
        with pytest.raises(LessonError, match=text):
            lecture.run(line)
        assert lecture.entries[-1].kind == "error" and lecture.entries[-1].stop
    lecture.run("run", "sql n1 INSERT INTO t VALUES (2)", "expect n1 done")


def test_an_expectation_that_does_not_hold_says_what_is_so(
    lecture: Conducted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylitefs.lecture.live.expect.Expectations.check.__defaults__", (0.1,))
    lecture.run("cluster replicas 1", TABLE, "expect same n1 n2")
    for line, text in {
        "expect n1 at 9": "n1 is at TXID 2 and not at 9",
        'expect n1 sql "SELECT a FROM t" = 5': "gives '1' and not '5'",
        'expect n1 sql "SELECT a FROM u" = 5': "fails: no such table: u",
        'expect n1 sql "SELECT a FROM t" fails locked': "does not fail, it gives '1'",
        "expect n1 waits": "n1/a does not wait: done",
        "expect n1 held ltx.commit": "ltx.commit is not held on n1; held: nothing",
        "expect n1 fails locked": "n1/a: done ''; expected was an error with 'locked'",
        "expect n2 done": "nothing was typed into n2/a yet",
        "expect differ n1 n2": "n1 and n2 are the same, at 0000000000000002/",
        "expect n1 event tx.rollback": "n1 has not passed tx.rollback",
        "expect n1 no-event ltx.commit": "n1 has passed ltx.commit: ",
        "expect n1 role replica": "n1 is primary and not replica",
        "expect n1 log elephants": "the log of n1 does not say 'elephants'; it ends:",
    }.items():
        with pytest.raises(ExpectError) as failed:
            lecture.run(line)
        assert text in str(failed.value)


def test_a_new_cluster_has_nothing_of_the_old_one(lecture: Conducted) -> None:
    lecture.run("cluster replicas 1", TABLE, "pause", "sql n1 INSERT INTO t VALUES (2)")
    told = lecture.run("cluster replicas 0")
    assert told[0].name == "cluster" and told[0].set["node/n2/role"] is None
    assert lecture.state["nodes"] == ["n1"] and lecture.state["mode"] == "running"
    assert not [key for key in lecture.state if key.startswith(("sql/", "db/", "node/n2"))]
    lecture.run('expect n1 sql "SELECT count(*) FROM sqlite_master" = 0')


def test_closing_releases_what_is_held_and_nothing_is_corrupted(tmp_path: Path) -> None:
    with Conducted(tmp_path) as lecture:
        lecture.run(
            "cluster replicas 1", TABLE, "expect same n1 n2", "pause", "sql n1 INSERT INTO t VALUES (2)"
        )
        lecture.run("run-to page.write")
        stage = lecture.director.scene.nodes
        pids = [process.pid for process in stage.processes()] + lecture.director.shells.all_pids()
        assert len(pids) >= 5
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with pytest.raises(LessonError, match="the lecture is closed"):
        lecture.run("run")


PROGRAM = """
import sys, time
from pathlib import Path
from tests.lecture.conducted import Conducted
lecture = Conducted(Path(sys.argv[1]))
lecture.run("cluster replicas 1", "sql n1 CREATE TABLE t(a); INSERT INTO t VALUES (1)", "expect same n1 n2")
lecture.run("pause", "sql n1 INSERT INTO t VALUES (2)", *sys.argv[2].split("; "))
director = lecture.director
print(*[one.pid for one in director.scene.nodes.processes()], *director.shells.all_pids(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "where",
    [
        "run-to ltx.commit",
        *(pytest.param(f"run-to {one}", marks=pytest.mark.full) for one in ("page.write", "page.apply n2")),
    ],
)
def test_a_killed_lecture_leaves_no_process_no_mount_and_a_whole_database(
    tmp_path: Path, eventually: Callable[..., None], where: str
) -> None:
    lecture = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), where], stdout=subprocess.PIPE, process_group=0
    )
    assert lecture.stdout is not None
    pids = [int(pid) for pid in lecture.stdout.readline().split()]
    assert len(pids) >= 5
    os.kill(lecture.pid, signal.SIGKILL)
    lecture.wait()
    lecture.stdout.close()
    eventually(
        lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "its processes have ended", 20
    )
    assert not [node for node in ("n1", "n2") if is_mounted(tmp_path / node / "mnt")]
    for node in ("n1", "n2"):
        connection = sqlite3.connect(tmp_path / node / "data" / "dbs" / "data.db" / "database")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_a_killed_lecture_leaves_no_dead_mount_of_a_node_that_it_had_killed(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    lecture = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "run-to page.write; kill n1; kill n2"],
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert lecture.stdout is not None and lecture.stdout.readline()
    mounts = [tmp_path / node / "mnt" for node in ("n1", "n2")]
    assert all(map(is_mounted, mounts))
    os.kill(lecture.pid, signal.SIGKILL)
    lecture.wait()
    lecture.stdout.close()
    eventually(lambda: not any(map(is_mounted, mounts)), "the dead mounts are gone")


def test_a_lesson_attaches_databases_of_its_node_and_no_file_of_the_machine(
    tmp_path: Path, lecture: Conducted
) -> None:
    """On a real mount: one transaction over two databases is shipped, and outside nothing is made."""
    lecture.run("cluster replicas 1", TABLE)
    both = "BEGIN; INSERT INTO t VALUES (2); INSERT INTO u VALUES (3); COMMIT"
    lecture.run(f"sql n1 ATTACH 'other.db' AS o; CREATE TABLE o.u(a); {both}", "expect n1 done")
    lecture.run("expect same n1 n2", 'expect n2 sql "SELECT count(*) FROM t" = 2')
    for outside in ("../x.db", f"{tmp_path}/x.db", f"{tmp_path}/n2/mnt/data.db"):
        lecture.run(f"sql n1/b VACUUM INTO '{outside}'", "expect n1/b fails is outside of the node")
    fails = "fails is outside of the node"
    lecture.run(f"expect n1 sql \"ATTACH '{tmp_path}/x.db' AS x\" {fails}")
    lecture.run("sql n1 SELECT a FROM u", "expect n1 done 3")
    assert not list(tmp_path.rglob("x.db"))


def test_the_statement_that_the_page_offers_works_on_every_node_at_any_time(lecture: Conducted) -> None:
    """It wrote into a table that no lesson has. Before the first transaction a replica has no database."""
    page = Path(director.__file__).parents[1] / "show" / "page" / "faults.js"
    [statement] = re.findall(r' sql: "([^"]+)"', page.read_text())
    lecture.run("cluster replicas 1")
    lecture.run(f"sql n1 {statement}", "expect n1 done")
    lecture.run("sql n1/b CREATE TABLE account (x)", "expect same n1 n2")
    for node in ("n2", "n1"):
        lecture.run(f"sql {node} {statement}", f"expect {node} done account")
