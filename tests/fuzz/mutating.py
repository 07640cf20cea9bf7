"""Bytes made a little wrong, from a seed: for the run without a guide, which takes no time."""

import random
from collections.abc import Sequence

NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 1 << 31, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)


def mutated(samples: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the samples with one to four changes."""
    data = bytearray(chance.choice(samples))
    for _ in range(chance.randint(1, 4)):
        _change(data, samples, chance)
    return bytes(data)


def _change(data: bytearray, samples: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + 1 + int(chance.expovariate(0.1)))
    kind = chance.randrange(7)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = chance.randrange(256)
    elif kind == 2:
        size = chance.choice((1, 2, 4, 8))
        number = chance.choice(NUMBERS) & ((1 << 8 * size) - 1)
        data[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        del data[at:end]
    elif kind == 5:
        data[at:at] = data[at:end]
    else:
        other = chance.choice(samples)
        begin = chance.randrange(len(other) + 1)
        data[at:end] = other[begin : begin + end - at]
