"""Django under gunicorn, from PyPI: no insert that was acknowledged is gone, round after round."""

import os
import subprocess
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import wait_until
from tests.sqlite_use.pair import Pair, connect, shell

pytestmark = [pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(600)]

ROUNDS = 9
INSERTS = 200
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gunicorn's program in an environment of this test's own."""
    base = tmp_path_factory.mktemp("venv")
    venv.create(base, with_pip=True)
    command = [str(base / "bin" / "pip"), "install", "-q", "django>=4.2", "gunicorn>=21"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"this test needs Django and gunicorn from PyPI:\n{done.stderr}"
    return base / "bin" / "gunicorn"


@contextmanager
def serving(gunicorn: Path, database: Path, folder: Path) -> Iterator[str]:
    """The application's address: two workers of two threads, for as long as the context lasts."""
    log = folder / "gunicorn.log"
    options = ["-w", "2", "--threads", "2", "-b", "127.0.0.1:0", "--worker-tmp-dir", str(folder)]
    with log.open("w") as file:
        process = subprocess.Popen(
            [gunicorn, *options, "django_app:application"],
            cwd=HERE,
            env=os.environ | {"DATABASE": str(database), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            assert wait_until(lambda: log.read_text().count("Booting worker") == 2, 30), log.read_text()
            address = log.read_text().split("Listening at: ")[1].split()[0]
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
                process.wait()


def play(gunicorn: Path, database: Path, folder: Path) -> None:
    """One round on a new database: as many rows as there were answers of "inserted"."""
    with closing(connect(database)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE seen(a INTEGER PRIMARY KEY, b)")
    limits = httpx.Limits(max_keepalive_connections=0)  # So each request goes to whichever worker is free.
    with (
        serving(gunicorn, database, folder) as address,
        httpx.Client(trust_env=False, timeout=60, limits=limits) as client,
    ):

        def insert(number: int) -> bool:
            client.get(address)
            return client.post(address, params={"b": str(number)}).text == "inserted"

        with ThreadPoolExecutor(4) as pool:
            acknowledged = sum(pool.map(insert, range(INSERTS)))
    assert acknowledged == INSERTS
    assert shell(database, "PRAGMA integrity_check;", "SELECT count(*) FROM seen;") == f"ok\n{INSERTS}"


def test_no_acknowledged_insert_is_gone(pair: Pair, gunicorn: Path, tmp_path: Path) -> None:
    for number in range(ROUNDS):
        name = f"django{number}.db"
        play(gunicorn, pair.path(name), tmp_path)
        pair.check(name)


def test_so_it_is_on_a_plain_disk(gunicorn: Path, tmp_path: Path) -> None:
    for number in range(3):
        play(gunicorn, tmp_path / f"plain{number}.db", tmp_path)
