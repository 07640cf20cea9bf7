"""Client processes: SQLite with random numbers that begin anew, and answers in words."""

from pathlib import Path

from pylitefs.compare.driver import Connections


def test_the_same_seed_gives_the_same_bytes_and_wal_salts(tmp_path: Path) -> None:
    written = []
    for folder in ("a", "b"):
        path = tmp_path / folder / "x.db"
        path.parent.mkdir()
        clients = Connections("seed")
        client = clients.get("one")
        client.ask("open", path=str(path))
        for text in ("PRAGMA journal_mode=wal", "CREATE TABLE t(a)", "INSERT INTO t VALUES (randomblob(50))"):
            assert "error" not in client.ask("sql", text=text)
        written.append((tmp_path / folder / "x.db-wal").read_bytes())
        clients.close()
    assert client.seeded, "this SQLite can be seeded"
    assert written[0] == written[1]


def test_errors_are_answers(tmp_path: Path) -> None:
    clients = Connections()
    client = clients.get("one")
    assert client.ask("sql", text="SELECT 1")["error"] == "the database could not be opened"
    client.ask("open", path=str(tmp_path / "x.db"))
    assert client.ask("sql", text="SELECT 1")["rows"] == [[1]]
    assert client.ask("sql", text="nonsense")["error"].startswith("SQLITE_ERROR: ")
    assert client.ask("unlink", path=str(tmp_path / "nobody"))["error"] == "ENOENT"
    clients.end("one", kill=True)
    assert clients.get("one").ask("read", path=str(tmp_path))["error"] == "EISDIR"
    clients.close()


def test_a_client_that_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    clients = Connections()
    client = clients.get("one")
    client.ask("open", path=str(tmp_path / "x.db"))
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"
    assert client.ask("sql", 0.2, text=endless)["error"] == "no answer in 0 s"
    assert client.is_silent
    clients.end("one", kill=True)
