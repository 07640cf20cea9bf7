"""The lecture's side of `--share`: the followers' server as a child process, its link and code, its votes.

    emit(entry, dumps) --> a queue --> a thread: Audience --> the child's stdin      followers.py
                                              on_votes <----- the child's stdout

The rule: the lecture never waits for those who follow. `emit` puts something into a queue and is done; the
child gets what the class has seen and nothing else, and when it ends, or hangs, the lecture goes on without
it.
"""

import base64
import io
import json
import logging
import queue
import re
import secrets
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pylitefs.child_python import python_module
from pylitefs.errors import ConfigError
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.show import addresses
from pylitefs.lecture.show.audience import Audience

START_S = 60.0
"""The child loads its server in less than a second on a machine that has one to spare."""
END_S = 5.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}")
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of a token that somebody types from the screen: none that is taken for another."""
_TOKEN_LENGTH = 12

log = logging.getLogger("pylitefs.lecture")


def new_token() -> str:
    """59 bits: nobody guesses it over a network in a lecture's time."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_TOKEN_LENGTH))


class Sharing:
    """A lecture that is shared on `bind` (host and port; 0 is any port), between `start` and `stop`.

    `head` is the recording's first line; `hidden` a folder whose path nobody is to see; `host` what the link
    says where it is not `bind`'s: in a container.
    """

    def __init__(
        self,
        head: Json,
        bind: tuple[str, int],
        *,
        token: str = "",
        host: str = "",
        hidden: Path | None = None,
        on_votes: Callable[[Json], None] = lambda votes: None,
    ) -> None:
        if token and not _TOKEN.fullmatch(token):
            raise ConfigError("the token of --share has 8 to 64 letters, digits, - and _: choose another")
        self.token = token or new_token()
        self.port = bind[1]
        self.on_votes = on_votes
        self.votes: Json = {}
        """As they were told last."""
        self._host = host
        self._bind = bind
        self._audience = Audience(head, hidden)
        self._queue: queue.SimpleQueue[tuple[Entry, Sequence[Dump]] | None] = queue.SimpleQueue()
        self._child: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the child, which listens when this returns. Raises ConfigError."""
        child = self._child = subprocess.Popen(
            python_module("pylitefs.lecture.show.followers"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        names = [*addresses.names(), *([self._host] if self._host else []), self._bind[0]]
        host, port = self._bind
        config = {"host": host, "port": port, "token": self.token, "names": [one for one in names if one]}
        try:
            self._put([json.dumps(config)])
            self.port = self._told_port(child)
        except BaseException:
            self.stop()
            raise
        self._put(self._audience.opening())
        for work in (self._send, self._listen):
            thread = threading.Thread(target=work, name=f"share{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _told_port(self, child: subprocess.Popen[bytes]) -> int:
        assert child.stdout is not None
        too_late = threading.Timer(START_S, child.kill)
        too_late.start()
        try:
            told = json.loads(child.stdout.readline() or b"{}")
        finally:
            too_late.cancel()
        if "port" in told:
            return int(told["port"])
        host, port = self._bind
        why = told.get("error", "its process ended")
        raise ConfigError(f"--share {host}:{port}: {why}; name another port, or an address of this machine")

    @property
    def pid(self) -> int:
        """The child's; 0 without one."""
        return self._child.pid if self._child is not None else 0

    @property
    def links(self) -> list[tuple[str, str]]:
        """Every URL by which followers may come, with the interface's name; the likeliest first."""
        hosts = [(self._host, "")] if self._host else addresses.reachable(self._bind[0])
        return [(addresses.link(host, self.port, self.token), name) for host, name in hosts]

    def link(self) -> Json:
        """What the lecturer's page shows: the URL, its QR code as an image, and the others in words."""
        links = self.links
        if not links:
            return {"url": "", "code": "", "others": []}
        (url, _), *others = links
        told = [f"{other} ({name})" if name else other for other, name in others]
        return {"url": url, "code": qr_image(url), "others": told}

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        """One more entry for those who follow. In any thread; one at a time."""
        self._queue.put((entry, dumps))

    def stop(self) -> None:
        """End the child; a second time does nothing."""
        child, self._child = self._child, None
        if child is None:
            return
        self._queue.put(None)
        for thread in self._threads[:1]:
            thread.join(END_S)
        for pipe in (child.stdin,):
            if pipe is not None:
                _close(pipe)
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for thread in self._threads[1:]:
            thread.join(END_S)
        if child.stdout is not None:
            child.stdout.close()

    def _send(self) -> None:
        """The thread that tells the child."""
        while (told := self._queue.get()) is not None:
            entry, dumps = told
            try:
                lines = self._audience.lines(entry, dumps)
            except Exception:  # The lecture goes on, and so do those who follow.
                log.exception("entry %d could not be told to those who follow", entry.seq)
                continue
            if not self._put(control(entry) + lines):
                return

    def _put(self, lines: Sequence[str]) -> bool:
        child = self._child
        if child is None or child.stdin is None:
            return False
        try:
            # The pipe is unbuffered, and a write to it may take a part.
            data = memoryview("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
            while data:
                data = data[child.stdin.write(data) :]
        except (OSError, ValueError):
            return False  # It has ended; so be it.
        return True

    def _listen(self) -> None:
        """The thread that hears the child."""
        child = self._child
        assert child is not None and child.stdout is not None
        for line in child.stdout:
            self.votes = json.loads(line)["votes"]
            self.on_votes(self.votes)
        if self._child is child:
            log.warning("the followers' server has ended: students see nothing more, the lecture goes on")


def control(entry: Entry) -> list[str]:
    """What the child has to know of an entry: that a run begins, that a question is open, or no more."""
    told: list[Json] = [{"begin": True}] if entry.seq == 0 else []
    if "question" in entry.set:
        asked = entry.set["question"]
        is_open = asked is not None and asked.get("answer") is None
        told.append({"ask": [entry.seq, len(asked["choices"])]} if is_open else {"close": True})
    return [f"!{json.dumps(one)}" for one in told]


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:
        pass  # What it had to say went nowhere.


def qr_image(url: str) -> str:
    """The QR code as a data URL. Black on white with its margin, whatever the theme."""
    import segno  # Only who shares needs it.

    out = io.BytesIO()
    segno.make(url, error="m", micro=False).save(
        out, kind="svg", border=4, light="white", xmldecl=False, omitsize=True
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"


def qr_text(url: str) -> str:
    """The QR code for a terminal, two modules a character."""
    import segno

    out = io.StringIO()
    segno.make(url, error="m", micro=False).terminal(out, border=2, compact=True)
    return out.getvalue()
