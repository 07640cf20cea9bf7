"""One flipped bit in a replication stream: what finds it, and what nothing finds.

The pages of an LTX file are under its checksums. The few bytes around it (the frame's type, a name, a
number) are under TCP's own checksum alone, as in LiteFS, whose protocol this is; docs/reliability.md says
what a flip there does.
"""

import random
from collections import Counter
from dataclasses import replace

from pylitefs.errors import LtxError, ReplicationError
from pylitefs.ltx.decoder import verify
from pylitefs.replication import frames
from pylitefs.replication.frames import Frame, FrameType, LtxBegin, LtxChunk, LtxEnd
from tests.fuzz.samples import ltx_files
from tests.fuzz.targets import of_stream

NAME = "app.db"
FILE = ltx_files()[0]
BEGIN = LtxBegin(NAME).pack()
LTX = BEGIN + frames.pack_ltx_body(FILE) + LtxEnd().pack()
OTHERS: dict[str, Frame] = {
    "Ready": frames.Ready(),
    "DropDB": frames.DropDb(NAME),
    "Handoff": frames.Handoff("5f1c"),
    "HighWaterMark": frames.HighWaterMark(7, NAME),
    "Heartbeat": frames.Heartbeat(1_700_000_000_000),
    "End": frames.End(),
}


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def taken(data: bytes) -> list[Frame]:
    """What a replica would act on: frames, of LTX files only those that are whole and hold what they say.

    Raises ReplicationError or LtxError where it would break the connection instead. A stream that ends
    early only leaves out what did not come.
    """
    acted: list[Frame] = []
    body = b""
    for frame in frames.Decoder().feed(data):
        if isinstance(frame, LtxChunk):
            body += frame.data
            continue
        if isinstance(frame, LtxEnd):
            verify(of_stream(body))
            acted.append(LtxChunk(body))
        body = b""
        acted.append(frame)
    return acted


def test_no_flip_in_an_ltx_file_s_frame_changes_a_page() -> None:
    """10,000 of the bits at random: an error, or nothing comes, or the very same file. With two of the
    fields that may differ: the size, which nobody reads, and the name."""
    chance = random.Random(17)
    ends: Counter[str] = Counter()
    whole = taken(LTX)
    for _ in range(10_000):
        try:
            found = taken(flipped(LTX, chance.randrange(8 * len(LTX))))
        except (ReplicationError, LtxError):
            ends["error"] += 1
            continue
        begin = next((one for one in found if isinstance(one, LtxBegin)), None)
        if begin is None or len(found) < len(whole):
            assert not any(isinstance(one, LtxChunk) for one in found)
            ends["nothing"] += 1
        else:
            assert [LtxBegin(NAME), *found[1:]] == whole
            ends["size" if begin.name == NAME else "name"] += 1
    assert ends["error"] > 8_000
    assert ends.keys() <= {"error", "nothing", "size", "name"}


def test_what_a_flip_in_another_frame_does() -> None:
    """Every bit of each: what is taken in its place. docs/reliability.md has this table."""
    seen: dict[str, set[str]] = {}
    for name, frame in OTHERS.items():
        data = frame.pack()
        outcomes = seen.setdefault(name, set())
        for bit in range(8 * len(data)):
            try:
                found = taken(flipped(data, bit))
            except ReplicationError:
                continue
            outcomes |= {outcome(frame, one) for one in found}
    assert seen == {
        "Ready": {"an End"},
        "DropDB": {"another name", "a Handoff"},
        "Handoff": {"another name", "a DropDb", "a Heartbeat"},
        "HighWaterMark": {"another number", "another name", "a Heartbeat"},
        "Heartbeat": {"another number"},
        "End": {"a Ready"},
    }


def outcome(sent: Frame, got: Frame) -> str:
    """What was taken instead of what was sent."""
    kind = type(got).__name__
    if type(got) is not type(sent):
        return f"an {kind}" if kind[0] in "AEIOU" else f"a {kind}"
    text = next((one for one in ("name", "lease_id") if hasattr(sent, one)), None)
    if text is not None and replace(got, **{text: getattr(sent, text)}) == sent:
        return "another name"
    return "another number"


def test_every_type_of_frame_is_in_the_table() -> None:
    assert len(OTHERS) + 1 == len(FrameType)
