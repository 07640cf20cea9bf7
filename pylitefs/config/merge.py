"""YAML's merge keys: `<<: *anchor` puts the keys of another mapping in where they are not written themselves.

The rule: what is written counts, then what is merged, of several mappings the first. Each mapping is looked
at once, however often it is merged, so that no file takes long.
Format: https://yaml.org/type/merge.html
"""

from typing import NamedTuple

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class MergeError(ValueError):
    """`<<` has no mapping, or leads back to itself; `mark` is where."""

    def __init__(self, mark: yaml.Mark, text: str) -> None:
        super().__init__(f"<<: {text}")
        self.mark = mark


class Pair(NamedTuple):
    """A key and its value; `merged` is where the `<<` stands that brought it."""

    key: yaml.Node
    value: yaml.Node
    merged: yaml.Mark | None = None


def pairs(node: yaml.MappingNode) -> list[Pair]:
    """What is written in the mapping, in order, and then what is merged into it. Raises MergeError."""
    written = [Pair(key, value) for key, value in node.value if key.tag != _MERGE]
    keys = {str(pair.key.value) for pair in written}
    merged = _merged(node, {}, [])
    return [*written, *(pair for key, pair in merged.items() if key not in keys)]


def _merged(
    node: yaml.MappingNode, known: dict[int, dict[str, Pair]], under: list[yaml.Node]
) -> dict[str, Pair]:
    """What comes into the mapping by `<<`, by key."""
    if id(node) in known:
        return known[id(node)]
    found: dict[str, Pair] = {}
    for key, value in node.value:
        if key.tag != _MERGE:
            continue
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode):
                raise MergeError(
                    key.start_mark, "write *NAME of a mapping that has &NAME, or a list of those"
                )
            if source is node or source in under:
                raise MergeError(key.start_mark, "it leads back to itself")
            for inner, its_value in source.value:
                if inner.tag != _MERGE:
                    found.setdefault(str(inner.value), Pair(inner, its_value, key.start_mark))
            for name, pair in _merged(source, known, [*under, node]).items():
                found.setdefault(name, pair._replace(merged=key.start_mark))
    known[id(node)] = found
    return found
