"""YAML's merge keys, without what a config file may hold."""

import time

import pytest
import yaml

from pylitefs.config.merge import MergeError, pairs


def merged(text: str) -> dict[str, str]:
    """The keys and values of the last entry of a list, or of a mapping alone."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    node = root.value[-1] if isinstance(root, yaml.SequenceNode) else root
    assert isinstance(node, yaml.MappingNode)
    return {pair.key.value: pair.value.value for pair in pairs(node)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: 1}", {"a": "1"}),
        ("[&x {a: 1, b: 2}, {<<: *x, b: 3}]", {"b": "3", "a": "1"}),
        ("[&x {a: 1}, &y {a: 2, b: 2}, {<<: [*x, *y]}]", {"a": "1", "b": "2"}),
        ("[&x {a: 1}, &y {<<: *x, b: 2}, {<<: *y, c: 3}]", {"c": "3", "b": "2", "a": "1"}),
        ("{<<: {a: 1}, b: 2}", {"b": "2", "a": "1"}),
        ("{<<: [], b: 2}", {"b": "2"}),
    ],
)
def test_what_is_written_counts_then_the_first_that_is_merged(text: str, expected: dict[str, str]) -> None:
    assert merged(text) == expected


@pytest.mark.parametrize(
    "text", ["{<<: 1}", "{<<: [a]}", "{<<: [[{a: 1}]]}", "&x {<<: *x}", "&x {<<: {<<: *x}}"]
)
def test_what_cannot_be_merged_is_said(text: str) -> None:
    with pytest.raises(MergeError, match="<<: "):
        merged(text)


def test_a_mapping_that_is_merged_again_and_again_takes_no_time() -> None:
    """Forty levels, each of which merges the one below twice: a billion times a thousand ways."""
    levels = ["&l0 {a: 1}", *(f"&l{n} {{<<: [*l{n - 1}, *l{n - 1}], k{n}: 1}}" for n in range(1, 41))]
    began = time.process_time()
    assert len(merged(f"[{', '.join(levels)}]")) == 41
    assert time.process_time() - began < 5
