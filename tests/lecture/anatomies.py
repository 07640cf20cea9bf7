"""What every anatomy keeps, whatever the bytes."""

from collections.abc import Sequence

from hypothesis import strategies as st

from pylitefs.lecture.model import Part

KINDS = {
    "magic", "size", "page", "count", "txid", "checksum", "salt", "flag", "time", "lock", "content", "unused",
    "field",
}  # fmt: skip


def assert_covers(parts: Sequence[Part], data: bytes, base: int = 0) -> None:
    """The parts come in order, leave no byte out, and each has a name and a known colour."""
    at = base
    for part in parts:
        assert part.offset == at, f"{part} begins at {part.offset}, the one before it ends at {at}"
        assert part.length > 0
        assert part.name
        assert part.kind in KINDS
        at += part.length
    assert at == base + len(data)


def values(parts: Sequence[Part]) -> dict[str, str]:
    """The value of the first part of each name."""
    found: dict[str, str] = {}
    for part in parts:
        found.setdefault(part.name, part.value)
    return found


def damaged(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes; a sample cut short, with more at its end, or with some of it overwritten."""

    def overwrite(sample: bytes, at: int, piece: bytes) -> bytes:
        at %= len(sample) + 1
        return sample[:at] + piece + sample[at + len(piece) :]

    sample = st.sampled_from(samples)
    return st.one_of(
        st.binary(max_size=300),
        st.builds(lambda one, end: one[:end], sample, st.integers(0, max(map(len, samples)))),
        st.builds(lambda one, more: one + more, sample, st.binary(min_size=1, max_size=60)),
        st.builds(overwrite, sample, st.integers(0, 1 << 16), st.binary(min_size=1, max_size=12)),
    )
