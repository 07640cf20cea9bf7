"""What two real LiteFS nodes asked of a Consul, and what they were answered (`data/cluster/consul.log`)."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.golden.recordings import DATA

_LINE = re.compile(
    r" *(?P<at>[\d.]+) (?P<method>[A-Z]+) (?P<path>\S+) (?P<headers>\{.*?\}) (?P<body>b'.*') -> "
    r"(?P<status>\d+) (?P<answer>b['\"].*['\"])"
)


@dataclass(frozen=True)
class Recorded:
    """One request and its answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: bytes


def requests() -> Iterator[Recorded]:
    """All of them, in their order."""
    for line in (DATA / "cluster" / "consul.log").read_text().splitlines():
        if (found := _LINE.fullmatch(line)) is not None:
            yield Recorded(
                found["method"],
                found["path"],
                ast.literal_eval(found["headers"]),
                ast.literal_eval(found["body"]),
                int(found["status"]),
                ast.literal_eval(found["answer"]),
            )
