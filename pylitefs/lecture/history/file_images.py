"""What is known of a file's bytes, put together from the pieces that events brought, and what changed.

The rule: an image is one run of bytes without a gap, and holds the bytes written last. A byte that no event
brought is in no image.
"""

from pylitefs.numeric import np

MOST_BYTES = 1 << 20
_GAPS = (3, 16, 64, 256, 1 << 20)
"""Changed runs with no more equal bytes between them are shown as one; the wider gaps where they are many."""
_MOST_RUNS = 300


class Image:
    """A run of a file's bytes."""

    def __init__(self) -> None:
        self.base = 0
        self.data = b""

    @property
    def end(self) -> int:
        return self.base + len(self.data)

    def put(self, offset: int, data: bytes) -> None:
        """These bytes stand at `offset`. What they do not touch is forgotten."""
        end = offset + len(data)
        if not self.data or offset > self.end or end < self.base:
            self.base, self.data = offset, data
        else:
            before = self.data[: max(offset - self.base, 0)]
            after = self.data[max(end - self.base, 0) :]
            self.base, self.data = min(self.base, offset), before + data + after
        if len(self.data) > MOST_BYTES:
            keep = min(MOST_BYTES // 2, len(self.data))
            self.base, self.data = self.end - keep, self.data[-keep:]

    def cut(self, size: int) -> None:
        """The file has `size` bytes."""
        if self.end > size:
            self.data = self.data[: max(size - self.base, 0)]


def differences(old: bytes, old_base: int, new: bytes, new_base: int) -> tuple[tuple[int, int], ...]:
    """(offset, length) of the bytes of `new` that are not the same in `old`; both begin at their bases."""
    if not new:
        return ()
    changed = np.ones(len(new), dtype=bool)
    first, last = max(old_base, new_base), min(old_base + len(old), new_base + len(new))
    if first < last:
        ours = np.frombuffer(new, dtype=np.uint8)[first - new_base : last - new_base]
        theirs = np.frombuffer(old, dtype=np.uint8)[first - old_base : last - old_base]
        changed[first - new_base : last - new_base] = ours != theirs
    runs = _runs(changed)
    for gap in _GAPS:
        found: list[tuple[int, int]] = []
        for start, end in runs:
            if found and new_base + start - sum(found[-1]) <= gap:
                found[-1] = (found[-1][0], new_base + end - found[-1][0])
            else:
                found.append((new_base + start, end - start))
        if len(found) <= _MOST_RUNS:
            break
    return tuple(found)


def _runs(flags: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
