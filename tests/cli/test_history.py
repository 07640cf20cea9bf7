"""`pylitefs history`, as a person types it: of a replica, a data directory, a mount."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from pylitefs.cli.history import history
from tests.conftest import ClusterFactory
from tests.golden.recordings import REPLICA
from tests.ltx.histories import LivingDatabase


def run(*arguments: object) -> Result:
    return CliRunner().invoke(history, [*map(str, arguments)])


def test_a_replica_s_transactions_have_a_line_each() -> None:
    """Litestream's own table, which nearly every one of them writes, is no row of it."""
    result = run(REPLICA)
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["TXID", "time", "pages", "bytes", "added", "changed", "removed", "what"]
    assert len(lines) == 12
    assert lines[1].split()[2:] == ["1", "210", "1", "1", "0", "t", "+1", "~1", "-0"]
    assert lines[9].endswith("2000   0        0        t +2000 ~0 -0")
    assert lines[11].split()[4:] == ["0", "0", "0"]


def test_json_and_the_last_ones(tmp_path: Path) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        for number in range(5):
            living.run(f"CREATE TABLE t{number}(x)", f"INSERT INTO t{number} VALUES(1)")
        result = run(living.path, "--last", "2", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["txid"] for line in lines] == [f"{4:016x}", f"{5:016x}"]
    assert lines[1]["tables"] == {"t4": {"added": 1, "changed": 0, "removed": 0}}
    assert lines[1]["notes"] == ["table t4 created"]


def test_a_database_of_a_running_node_by_its_path_in_the_mount(cluster_factory: ClusterFactory) -> None:
    """And by its directory in the data directory; while the node runs."""
    node = cluster_factory(replicas=0).primary
    path = node.database("app.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE people(id INTEGER PRIMARY KEY, name)")
        db.execute("INSERT INTO people(name) VALUES('Anna'), ('Ben')")
        db.execute("UPDATE people SET name = 'Carl' WHERE id = 2")
    for source in (path, node.data / "dbs" / "app.db"):
        result = run(source, "--url", node.url)
        assert result.exit_code == 0, result.output
        assert "people +2 ~0 -0" in result.stdout and "people +0 ~1 -0" in result.stdout


def test_what_is_no_source_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "plain.db").write_bytes(b"")
    for path in (tmp_path / "plain.db", tmp_path):
        result = run(path)
        assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1 and "LTX files" in result.stderr
