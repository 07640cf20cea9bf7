"""Stores on temporary directories, without a mount, and the transactions to put into them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pylitefs.http.app import Api
from pylitefs.http.server import HttpServer
from pylitefs.lease.static import PrimaryInfo, StaticLease
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.status import Status, now_ms
from pylitefs.store.store import Store
from pylitefs.trace import Tracer

PAGE = 512
CLUSTER = "LFSC0123456789ABCDEF"


@contextmanager
def opened(directory: Path, *, primary: bool = False, cluster: str | None = CLUSTER) -> Iterator[Store]:
    """A store with a tracer and status of its own, closed at the end; `cluster` is its id if it has none."""
    directory.mkdir(parents=True, exist_ok=True)
    status = Status(is_primary=primary, candidate=primary, ready=primary)
    store = Store(directory, tracer=Tracer(directory.name), status=status, monitor_interval_s=0)
    store.open()
    if cluster and not store.cluster_id:
        store.set_cluster_id(cluster)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def serving(
    store: Store,
    hostname: str = "primary-host",
    *,
    host: str = "127.0.0.1",
    token: str = "",
    open_stream: bool = False,
) -> Iterator[PrimaryInfo]:
    """The store's API on a port of the loopback interface, or of `host`'s."""
    lease = StaticLease(store.status.candidate, hostname, "http://127.0.0.1:0")
    server = HttpServer(Api(store, lease, token=token, open_stream=open_stream), (host, 0))
    server.start()
    try:
        yield PrimaryInfo(hostname, f"http://127.0.0.1:{server.port}")
    finally:
        assert server.stop(), "the server did not stop"


def feed(store: Store, name: str, path: Path) -> Pos:
    """One LTX file into the store, as if it came from a primary."""
    return store.receive_ltx(name, iter([path.read_bytes()])).pos


def filled(values: Mapping[int, int]) -> dict[int, bytes]:
    """Pages full of one byte's value each."""
    return {pgno: bytes([value]) * PAGE for pgno, value in values.items()}


class Writer:
    """Makes transactions of a database: pages of PAGE bytes, each full of one byte's value."""

    def __init__(self, store: Store, name: str = "made.db", *, compress: bool = False) -> None:
        self.store = store
        self.name = name
        self.compress = compress
        self.pages: dict[int, bytes] = {}

    @property
    def pos(self) -> Pos:
        database = self.store.get(self.name)
        return database.pos if database else Pos()

    def commit(self, values: Mapping[int, int]) -> Pos:
        """Set pages to byte values, in one transaction; the database grows to hold them."""
        return self.commit_pages(filled(values))

    def commit_pages(self, pages: Mapping[int, bytes]) -> Pos:
        data = self._file(pages)
        received = self.store.receive_ltx(self.name, iter([data]))
        self.pages.update(pages)
        return received.pos

    def next_file(self, values: Mapping[int, int]) -> bytes:
        """The LTX file of the transaction that would set pages to these byte values."""
        return self._file(filled(values))

    def _file(self, pages: Mapping[int, bytes]) -> bytes:
        before = self.pos
        after = {**self.pages, **pages}
        checksum = EMPTY_CHECKSUM
        for pgno, page in after.items():
            checksum ^= page_checksum(pgno, page)
        header = Header(
            flags=int(self.compress),
            page_size=len(next(iter(pages.values()))),
            commit=max(after),
            min_txid=before.txid + 1,
            max_txid=before.txid + 1,
            timestamp_ms=now_ms(),
            pre_apply_checksum=before.checksum,
            node_id=7,
        )
        return encode(header, sorted(pages.items()), checksum | CHECKSUM_FLAG)

    def drop(self) -> Pos:
        """Drop the database: a transaction with commit 0."""
        before = self.pos
        header = Header(0, PAGE, 0, before.txid + 1, before.txid + 1, now_ms(), before.checksum, node_id=7)
        self.pages = {}
        return self.store.receive_ltx(self.name, iter([encode(header, [], EMPTY_CHECKSUM)])).pos

    def whole(self) -> bytes:
        """The whole database."""
        return b"".join(page for _, page in sorted(self.pages.items()))


def database_bytes(store: Store, name: str) -> bytes:
    """What lies in the data directory."""
    return (store.data_dir / "dbs" / name / "database").read_bytes()
