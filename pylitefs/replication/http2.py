"""One POST over HTTP/2 whose answer has no end: the replica's connection to its primary.

    socket --> h2 (the protocol, without I/O) --> the answer's bytes, as they come

The rule: nothing but what a stream needs. A general client has pools, locks and layers, and this
thread has one connection and one request. Without
TLS both sides know that it is HTTP/2 ("prior knowledge"); with it they agree by ALPN.
Format: https://www.rfc-editor.org/rfc/rfc9113
"""

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import SplitResult, urlencode, urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import DataFrame

from pylitefs.errors import ReplicationError

WINDOW = 16 << 20
"""So many bytes may be under way: what the primary sends while this node stores and applies."""
FRAME = 64 * 1024
"""The longest DATA frame that we take: each has its price here, and on the primary."""
_RECEIVE = 64 * 1024
_LONGEST_REFUSAL = 64 * 1024


def _in_short(frame: DataFrame) -> str:
    return f"{len(frame.data)} bytes"


# h2 has each frame that comes written out as hex, for a log line that nobody reads: half of its work.
DataFrame._body_repr = _in_short  # type: ignore[method-assign, assignment]


class CannotConnectError(ReplicationError):
    """Nobody accepted the connection."""


class LostConnectionError(ReplicationError):
    """The connection, or HTTP/2 on it, broke."""


class Answer:
    """What the server says to the request: `status`, `headers` (names in small letters), then bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.heard = time.monotonic()
        """When the last byte came."""
        self._socket = sock
        self._events: deque[DataReceived] = deque()
        self._ended = False
        self._to_give = 0
        """Bytes that were taken, and that the window of the connection as a whole still lacks."""
        self._failure: LostConnectionError | None = None
        self._connection = connection = H2Connection(
            H2Configuration(client_side=True, validate_inbound_headers=False)
        )
        connection.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_FRAME_SIZE: FRAME,
            },
        )
        connection.max_inbound_frame_size = FRAME
        connection.initiate_connection()
        connection.increment_flow_control_window(WINDOW)
        self._stream_id = connection.get_next_available_stream_id()

    def ask(self, headers: Sequence[tuple[str, str]], content: bytes) -> None:
        """Send the request, as fast as the server's windows let it, and wait for the answer's beginning."""
        connection, stream_id, rest = self._connection, self._stream_id, memoryview(content)
        try:
            connection.send_headers(stream_id, headers)
            while rest and not self.status:
                room = connection.local_flow_control_window(stream_id)
                if size := min(len(rest), room, connection.max_outbound_frame_size):
                    connection.send_data(stream_id, bytes(rest[:size]))
                    rest = rest[size:]
                else:
                    self._flush()
                    self._receive()
            if not rest:
                connection.end_stream(stream_id)
            self._flush()
        except (OSError, H2Error) as error:
            raise LostConnectionError(str(error) or type(error).__name__) from error
        while not self.status:
            self._receive()

    def __iter__(self) -> Iterator[bytes]:
        """The answer's bytes as they come, until its end. Raises LostConnectionError."""
        while True:
            while self._events:
                yield self._events.popleft().data or b""
            if self._ended:
                return
            self._receive()

    def has_more(self) -> bool:
        """Whether bytes have come that were not handed on yet."""
        if self._events or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return True
        return bool(select.select([self._socket], [], [], 0)[0])

    def give_back(self, size: int) -> None:
        """Tell the server that so many bytes were taken, so that it may send as many more."""
        if self._ended:
            return
        try:
            self._connection.increment_flow_control_window(size, self._stream_id)
            self._to_give += size
            if self._to_give >= WINDOW // 4:
                self._connection.increment_flow_control_window(self._to_give)
                self._to_give = 0
            self._flush()
        except (OSError, H2Error) as error:
            raise LostConnectionError(str(error) or type(error).__name__) from error

    def text(self) -> str:
        """The whole of a short answer, such as a refusal."""
        text = b""
        for data in self:
            text += data
            if len(text) > _LONGEST_REFUSAL:
                break
        return text.decode("utf-8", "replace").strip()

    def _receive(self) -> None:
        """Wait for bytes, and answer at once what HTTP/2 itself wants answered."""
        if self._failure is not None:
            raise self._failure
        try:
            data = self._socket.recv(_RECEIVE)
            if not data:
                raise LostConnectionError("the server disconnected")
            self.heard = time.monotonic()
            for event in self._connection.receive_data(data):
                self._take(event)
            self._flush()
        except (OSError, H2Error) as error:
            raise LostConnectionError(str(error) or type(error).__name__) from error

    def _flush(self) -> None:
        if data := self._connection.data_to_send():
            self._socket.sendall(data)

    def _take(self, event: Event) -> None:
        match event:
            case DataReceived():
                if padding := (event.flow_controlled_length or 0) - len(event.data or b""):
                    self._connection.increment_flow_control_window(padding, self._stream_id)
                self._events.append(event)
            case ResponseReceived():
                found = {_text(name): _text(value) for name, value in event.headers or ()}
                status = found.pop(":status", "")
                if not (status.isascii() and status.isdecimal()):
                    raise LostConnectionError(f"the answer has no HTTP status but {status!r}")
                self.status = int(status)
                self.headers = found
            case StreamEnded():
                self._ended = True
            case StreamReset() | ConnectionTerminated() if event.error_code != ErrorCodes.NO_ERROR:
                # What came before it is handed on first.
                self._failure = LostConnectionError(f"the server broke it off: {event.error_code!r}")


class Post:
    """`with Post(url, ...) as answer:` makes the request; the connection ends with the block.

    `on_socket` gets the socket once it is connected: whoever shuts it down ends every wait here.
    Raises CannotConnectError, LostConnectionError.
    """

    def __init__(
        self,
        url: str,
        content: bytes,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        connect_timeout: float,
        on_socket: Callable[[socket.socket], None],
    ) -> None:
        self._url = urlsplit(url)
        self._content = content
        self._params = params
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._on_socket = on_socket

    def __enter__(self) -> Answer:
        self._socket = _connect(self._url, self._connect_timeout)
        try:
            self._on_socket(self._socket)
            return self._ask()
        except BaseException:
            self._socket.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _ask(self) -> Answer:
        answer = Answer(self._socket)
        path = self._url.path + (f"?{urlencode(self._params)}" if self._params else "")
        headers = [
            (":method", "POST"),
            (":authority", self._url.netloc.rpartition("@")[2]),
            (":scheme", self._url.scheme),
            (":path", path),
            ("content-length", str(len(self._content))),
            *((name.lower(), value) for name, value in self._headers.items()),
        ]
        answer.ask(headers, self._content)
        return answer


def _connect(url: SplitResult, timeout: float) -> socket.socket:
    secure = url.scheme == "https"
    try:
        sock = socket.create_connection((url.hostname or "", url.port or (443 if secure else 80)), timeout)
    except (OSError, ValueError) as error:
        raise CannotConnectError(str(error)) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname=url.hostname)
        sock.settimeout(None)
    except OSError as error:
        sock.close()
        raise CannotConnectError(str(error)) from error
    return sock


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
