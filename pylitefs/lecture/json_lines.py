"""A recording's bytes as lines, and a line as a JSON object, within the bounds of bounds.py.

The rule: what is wrong is a ValueError in a few words, whatever the bytes are. Nothing is unpacked, copied or
parsed further than the bounds go.
"""

import json
import math
import zlib
from collections.abc import Iterator

from pylitefs.lecture import bounds
from pylitefs.lecture.model import Json

_GZIP_MAGIC = b"\x1f\x8b"


def text_of(data: bytes) -> tuple[bytes, bool]:
    """The whole lines in a file, gzipped or not, and whether it ends in the middle of one."""
    is_cut = False
    if data.startswith(_GZIP_MAGIC):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, bounds.MAX_BYTES + 1)
        except zlib.error as error:
            raise ValueError(f"it is a damaged gzip file ({error})") from None
        is_cut = not unpacker.eof
    if len(data) > bounds.MAX_BYTES:
        raise ValueError(f"it is longer than {bounds.MAX_BYTES >> 20} MB, unpacked")
    end = data.rfind(b"\n") + 1
    if end < len(data) and not _is_whole(data[end : end + bounds.MAX_LINE + 1]):
        return data[:end], True
    return data, is_cut


def lines(data: bytes) -> Iterator[bytes]:
    """Each line; of one that is too long only its beginning, which is one byte too long."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield data[start : min(end, start + bounds.MAX_LINE + 1)]
        start = end + 1


def parsed(line: bytes) -> Json:
    """The object that the line is."""
    if len(line) > bounds.MAX_LINE:
        raise ValueError(f"it is longer than {bounds.MAX_LINE >> 20} MB")
    try:
        found = json.loads(line, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"it is nested more than {bounds.MAX_DEPTH} deep") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    if why := bounds.why_too_deep(found):
        raise ValueError(why)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _is_whole(line: bytes) -> bool:
    """Whether the last line was not cut. One that is wrong in another way is whole: it is refused as such."""
    try:
        json.loads(line)
    except RecursionError:
        return True
    except ValueError:
        return len(line) > bounds.MAX_LINE
    return True
