"""A recording's bytes as lines: unpacked, cut, or whole. Hostile ones are in test_bounds.py."""

import gzip

from pylitefs.lecture import json_lines


def test_lines_are_what_is_between_newlines() -> None:
    assert list(json_lines.lines(b"a\n\nb")) == [b"a", b"", b"b"]
    assert json_lines.text_of(b'{"a":1}\n{"b"') == (b'{"a":1}\n', True)
    assert json_lines.text_of(b'{"a":1}') == (b'{"a":1}', False)
    assert json_lines.text_of(b"") == (b"", False)
    packed = gzip.compress(b'{"a":1}\n')
    assert json_lines.text_of(packed) == (b'{"a":1}\n', False)
    assert json_lines.text_of(packed[:-4]) == (b'{"a":1}\n', True)
