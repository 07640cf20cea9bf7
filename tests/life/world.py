"""A cluster, its clients, and what a seed has happen to them; after each while everything must agree.

The seed decides what is done and where it is cut short. When exactly a kill arrives is up to the machine,
so a repeated seed is likely to fail again, not certain. Each step leaves a line in the trace.
"""

import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx

from pylitefs.cluster.cluster import Cluster, ClusterNode, unmount, wait_until
from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from pylitefs.sqlite.header import DatabaseHeader
from tests.cluster.checks import ltx_files
from tests.cluster.clients import Clients
from tests.life.model import SCHEMA, Model, Statements, loaded
from tests.life.writer import DATABASES, ROLLBACK_MODES, Writer, commit

SETTINGS = {
    "data": {"retention": "400ms", "retention-monitor-interval": "100ms"},
    "lease": {"reconnect-delay": "100ms"},
}
"""Retention of less than a second: a start has but the newest LTX files to go by."""

REPLICA_POINTS = ("stream.receive", "ltx.verify", "ltx.store", "page.apply", "pos.advance")
SPARE_S = 2
"""How long a step waits for what need not come."""


class Life:
    """One seed's life of a cluster; `live` is all of it, `end` kills the clients that are left."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.statements = Statements(random.Random(seed + 1))
        self.model = Model(DATABASES)
        self.writers: list[Writer] = []
        self.clients = Clients()
        self.background = ThreadPoolExecutor(2)

    @property
    def primary(self) -> ClusterNode:
        return self.cluster.primary

    def note(self, what: str) -> None:
        print(f"  {what}")

    def live(self, steps: int) -> None:
        started = time.monotonic()
        self._make_databases()
        kinds = list(STEPS)
        for number in range(steps):
            step = self.chance.choices(kinds, [STEPS[kind] for kind in kinds])[0]
            self.note(f"{number}: {step.__name__}, after {time.monotonic() - started:.1f} s")
            step(self)
        self.settle()

    def end(self) -> None:
        self.clients.discard_all()
        self.background.shutdown()

    # -- clients ---------------------------------------------------------------------------------------

    def _make_databases(self) -> None:
        """With free pages from the beginning."""
        for name in DATABASES:
            client = self.clients(self.primary, name)
            page_size, vacuum = self.chance.choice((512, 1024, 4096, 4096)), self.chance.choice((0, 0, 1, 2))
            mode = self.chance.choice((*ROLLBACK_MODES, "wal"))
            self.note(f"{name}: page_size={page_size} auto_vacuum={vacuum} {mode}")
            client.sql(
                f"PRAGMA page_size={page_size}",
                f"PRAGMA auto_vacuum={vacuum}",
                f"PRAGMA journal_mode={mode}",
                *(line.format(s="main") for line in SCHEMA),
            )
            commit(client, self.model, name, self.statements.fill(name), self.statements.empty(name))

    def _connect(self) -> Writer:
        self.writers.append(Writer(self.primary, self.clients, self.model, self.statements, self.chance))
        return self.writers[-1]

    def writer(self) -> Writer:
        """One of the open clients, or a new one."""
        if not self.writers or (len(self.writers) < 3 and self.chance.random() < 0.4):
            return self._connect()
        return self.chance.choice(self.writers)

    def drop_clients(self) -> None:
        """The node is about to go, or has gone: its clients end, some by themselves and some killed."""
        for one in self.writers:
            if self.primary.pid and self.chance.random() < 0.5:
                one.client.close()
            else:
                one.client.kill9()
        self.writers = []

    # -- steps -----------------------------------------------------------------------------------------

    def write(self) -> None:
        """A few transactions, with nobody in the way."""
        for _ in range(self.chance.randint(1, 4)):
            self.writer().transact()

    def write_together(self) -> None:
        """Two clients and an export at once; SQLite's locks put them into some order."""
        both = [self.writer(), self._connect()]
        export = self.background.submit(self.exported, self.primary, self.chance.choice(DATABASES))
        for one in both:
            one.begin()
        for one in both:
            one.finish()
        export.result()

    def export(self) -> None:
        """From any node, whatever was left behind: it is whole, and what the position says."""
        node = self.chance.choice([node for node in self.cluster if node.pid])
        for name in self.chance.sample(DATABASES, 2):
            content = self.exported(node, name)
            # A replica may be applying; a WAL may end with a commit that its killed writer did not publish.
            if node.is_primary and content[18] == 1:
                at = node.positions()[name]
                assert checksum(content) == at.checksum, f"{name}: its export is not what {at} says"

    def vacuum(self) -> None:
        size = self.chance.choice((512, 1024, 4096))
        resize = [f"PRAGMA page_size={size}"] * (self.chance.random() < 0.3)
        self.writer().housekeeping(*resize, "VACUUM")

    def incremental_vacuum(self) -> None:
        self.writer().housekeeping(f"PRAGMA incremental_vacuum({self.chance.randint(1, 30)})")

    def checkpoint(self) -> None:
        how = self.chance.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        self.writer().housekeeping(f"PRAGMA wal_checkpoint({how})")

    def switch_journal_mode(self) -> None:
        mode = self.chance.choice((*ROLLBACK_MODES, "wal", "wal"))
        one = self.writer()
        one.housekeeping(f"PRAGMA {self.chance.choice(list(one.schemas.values()))}.journal_mode={mode}")

    def close_client(self) -> None:
        one = self.writer()
        one.client.close()
        self.writers.remove(one)

    def kill_client(self) -> None:
        """In the middle of a transaction; nobody looks after what it leaves, but for whatever comes next."""
        one = self.writer()
        one.cut_short()
        one.client.kill9()
        one.let_go()
        one.client.process.wait(10)
        self.writers.remove(one)
        after = self.chance.choice((None, None, self.wait_for_retention, self.export))
        if after:
            after()

    def kill_primary(self) -> None:
        """In the middle of a transaction, its client with it or not, and start it again."""
        one = self.writer()
        one.cut_short()
        if self.chance.random() < 0.5:
            self.wait_for_retention()
        if self.chance.random() < 0.3:
            one.client.kill9()
        self.primary.kill9()
        one.let_go()
        self.drop_clients()
        self.restart(self.primary)

    def stop_primary(self) -> None:
        """A clean stop, after its clients: killed ones may have left a hot journal or a WAL."""
        self.drop_clients()
        assert self.primary.stop() == 0, self.primary.log_tail(50)
        self.restart(self.primary)

    def kill_replica(self) -> None:
        """While it applies something; it comes back at once, or after a while."""
        node = self.chance.choice(self.cluster.replicas)
        if node.pid and node.control:
            gate = node.control.gate(self.chance.choice(REPLICA_POINTS))
            self.write()
            gate.wait(0.5)
            node.kill9()
        if self.chance.random() < 0.7:
            node.start()

    def join(self) -> None:
        """A replica without any data; the primary may have anything lying about."""
        node = self.chance.choice(self.cluster.replicas)
        node.kill9()
        unmount(node.mount)
        if node.data.exists():
            shutil.rmtree(node.data)
        node.start()

    def import_(self) -> None:
        """The database as it is, and one transaction more, comes in by the API; the primary may be killed."""
        self.settle()
        name = self.chance.choice(DATABASES)
        one = self.statements.transaction([name], may_roll_back=False)
        content = self.model.shadows[name].with_one_more(one)
        if self.chance.random() < 0.3:
            content = content[:18] + b"\x02\x02" + content[20:]
        self.model.begun(one)
        self.note(f"{one}, imported")
        points = self.chance.choice(([], [], ["ltx.commit"], ["page.apply"], ["pos.advance"]))
        assert self.primary.control
        gate = self.primary.control.gate(*points) if points else None
        answer = self.background.submit(
            httpx.post,
            f"{self.primary.url}/import",
            params={"name": name},
            content=content,
            timeout=20,
            trust_env=False,
        )
        if gate:
            gate.wait(SPARE_S)
            self.primary.kill9()
            self.note("killed in the import")
            self.drop_clients()
            self.restart(self.primary)
        try:
            done = answer.result()
        except httpx.TransportError:
            assert gate
        else:
            one.acknowledged = done.status_code == 200
            assert one.acknowledged or gate, done.text

    def wait_for_retention(self) -> None:
        """Until the LTX files of the pages that lie about are gone."""
        gone = wait_until(lambda: all(len(ltx_files(self.primary, name)) < 2 for name in DATABASES), SPARE_S)
        self.note("retention is through" if gone else "retention keeps files")

    def restart(self, node: ClusterNode) -> None:
        node.start()
        node.wait_ready()

    # -- what must hold --------------------------------------------------------------------------------------

    def exported(self, node: ClusterNode, name: str) -> bytes:
        """A database's bytes; SQLite finds them whole. A replica that is just joining may have none."""
        try:
            answer = httpx.get(f"{node.url}/export", params={"name": name}, timeout=20, trust_env=False)
        except httpx.TransportError:
            assert not node.is_primary
            return b""
        if answer.status_code != 200:
            assert not node.is_primary, f"{node.name}: {answer.text}"
            return b""
        with closing(loaded(answer.content)) as db:
            problems = db.execute("PRAGMA integrity_check").fetchall()
        assert problems == [("ok",)], f"{name} as {node.name} exports it: {problems[:5]}"
        return answer.content

    def settle(self) -> None:
        """Everything is up and quiet: all nodes have the same bytes, at the primary's position, and these
        are what the model says."""
        for node in self.cluster:
            if not node.pid:
                node.start()
        for node in self.cluster:
            node.wait_ready()
        for name in DATABASES:
            # A commit that its killed client did not publish in the WAL index is lost with the next, if not
            # before; from here on it is certain which there are.
            client = self.clients(self.primary, name, timeout=10.0)
            commit(client, self.model, name, self.statements.mark(name))
        self.cluster.wait_synced(20)
        contents = {name: self.exported(self.primary, name) for name in DATABASES}
        self.model.settle(contents)
        for name, content in contents.items():
            self.assert_equal_everywhere(name, content)

    def assert_equal_everywhere(self, name: str, content: bytes) -> None:
        with closing(loaded(content)) as db:
            rows = [list(row) for row in db.execute(ROWS)]
        for node in self.cluster:
            at = node.positions()[name]
            assert checksum(content) == at.checksum, f"{name} on {node.name} is not what {at} says"
            assert self.exported(node, name) == content, f"{name} on {node.name} has other bytes"
            reader = self.clients(node, name, timeout=10.0)
            assert reader.sql("PRAGMA integrity_check") == [["ok"]], f"{name} on {node.name}"
            assert reader.sql(ROWS) == rows, f"{name} on {node.name}"
            reader.close()


ROWS = "SELECT n, count(*), sum(id), sum(length(x)) FROM t GROUP BY n ORDER BY n"


def checksum(content: bytes) -> int:
    """The checksum that a position must have with these bytes."""
    size = DatabaseHeader.parse(content).page_size
    found = 0
    for at in range(0, len(content), size):
        found ^= page_checksum(at // size + 1, content[at : at + size])
    return found | CHECKSUM_FLAG


STEPS: dict[Callable[[Life], None], int] = {
    Life.write: 10,
    Life.write_together: 3,
    Life.export: 4,
    Life.vacuum: 1,
    Life.incremental_vacuum: 2,
    Life.checkpoint: 2,
    Life.switch_journal_mode: 3,
    Life.close_client: 1,
    Life.kill_client: 6,
    Life.kill_primary: 5,
    Life.stop_primary: 2,
    Life.kill_replica: 2,
    Life.join: 2,
    Life.import_: 1,
    Life.wait_for_retention: 1,
}
"""Each step and how often it comes, against the others."""
