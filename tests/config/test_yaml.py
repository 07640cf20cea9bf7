"""From the YAML text to the model's fields: each key with its line, and no error without one."""

from pathlib import Path

import pytest

from pylitefs.config.expand import Expanded, plain
from pylitefs.config.model import Config
from pylitefs.config.yaml import Place, Reader, all_keys, key_of
from pylitefs.errors import ConfigError

PATH = Path("litefs.yml")


def reader(text: str, lines: list[int] | None = None) -> Reader:
    return Reader(PATH, Expanded(text, lines) if lines else plain(text))


def read(text: str) -> Config:
    return reader(text).read()


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (("lease", "advertise_url"), "lease.advertise-url"),
        (("exec", 0, "if_candidate"), "exec[0].if-candidate"),
        (("skip_sync",), "skip-sync"),
        ((), ""),
    ],
)
def test_a_place_is_written_as_people_write_it(place: Place, key: str) -> None:
    assert key_of(place) == key


def test_every_key_is_a_leaf_in_the_model_s_order() -> None:
    keys = list(all_keys())
    assert keys[:2] == ["exit-on-error", "skip-sync"] and "lease.consul.lock-delay" in keys
    assert "lease" not in keys and "lease.consul" not in keys and len(set(keys)) == len(keys)


def test_scalars_are_the_text_that_stands_there() -> None:
    """YAML 1.1 would read an octal number, a bool, and a float."""
    config = read("lease:\n  hostname: 0123\n  databases: [on, 1.10]\nproxy:\n  db: yes\n")
    assert (config.lease.hostname, config.proxy.db) == ("0123", "yes")
    assert config.lease.databases == ("on", "1.10")


def test_every_key_that_is_there_has_its_line() -> None:
    one = reader("data:\n  dir: /d\n\nlease:\n  consul:\n    url: u\nexec:\n  - cmd: a\n  - cmd: b\n")
    one.read()
    assert one.lines == {
        ("data",): 1,
        ("data", "dir"): 2,
        ("lease",): 4,
        ("lease", "consul"): 5,
        ("lease", "consul", "url"): 6,
        ("exec",): 7,
        ("exec", 0, "cmd"): 8,
        ("exec", 1, "cmd"): 9,
    }
    assert str(one.error(("exec", 1, "cmd"), "why")) == "litefs.yml:9: exec[1].cmd: why"
    assert str(one.error(("lease", "type"), "why")) == "litefs.yml:4: lease.type: why", "its section's"
    assert str(one.error(("http", "addr"), "why")) == "litefs.yml: http.addr: why", "nothing of it is there"


def test_a_line_is_the_file_s_also_where_a_value_brought_line_breaks() -> None:
    one = reader("data:\n  dir: /a\n  b: 1", [1, 1, 2])
    with pytest.raises(ConfigError, match=r"^litefs\.yml:2: data\.b: unknown key"):
        one.read()


def test_commands_may_be_one_string_or_a_list() -> None:
    assert [one.cmd for one in read("exec: a b").exec] == ["a b"]
    config = read("exec:\n  - cmd: a\n  - cmd: b\n    if-candidate: true")
    assert [(one.cmd, one.if_candidate) for one in config.exec] == [("a", False), ("b", True)]


@pytest.mark.parametrize("text", ["", "~", "# nothing", "data:", "data:\n  dir: ~\nexec: null"])
def test_what_is_not_written_is_the_default(text: str) -> None:
    assert read(text) == Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", r"litefs\.yml:1: not YAML"),
        ("a\x00: 1", "not YAML"),
        ("- a", r"litefs\.yml:1: must hold keys below it"),
        ("data: 1", r"litefs\.yml:1: data: must hold keys below it"),
        ("data:\n  dir: [a]", r"litefs\.yml:2: data\.dir: must be a single value"),
        ("lease:\n  databases: a", r"litefs\.yml:2: lease\.databases: must be a list"),
        ("data:\n  dirr: a", r":2: data\.dirr: unknown key; did you mean data\.dir\?"),
        ("retention: 1m", r":1: retention: unknown key; did you mean data\.retention\?"),
        ("data:\n  zzz: a", "unknown key; valid here: dir, compress, retention, retention-monitor-interval"),
        ("data:\n  dir: a\n  dir: b", r":3: data\.dir: given twice, first on line 2"),
        ("data:\n  compress: maybe", r":2: data\.compress: 'maybe' is not valid: write true or false"),
        ("tracing:\n  max-size: big", r"'big' is not valid: write a whole number"),
        (
            "lease:\n  type: statik",
            r"'statik' is not valid: .*did you mean static\?",
        ),
        ('fuse:\n  dir: "/a\\0b"', r":2: fuse\.dir: holds a NUL"),
        ('exec: "app \\0"', r":1: exec: holds a NUL"),
        ('http:\n  addr: ":99999"', r":2: http\.addr: ':99999' is not an address: the highest port is 65535"),
        ("a: " + "[" * 20_000, r"litefs\.yml: nested too deeply"),
        ("http:\n  token: secret", r":2: http\.token: not a token: write 16 or more characters"),
        (
            "data:\n  retention-monitor-interval: 99999999999h",
            r":2: data\.retention-monitor-interval: longer than",
        ),
        ("data:\n  retention: 10", r":2: data\.retention: not a duration: write a number with a unit"),
    ],
)
def test_an_error_names_line_and_key_and_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(text)


def test_merge_keys_bring_what_is_not_written() -> None:
    """A command's, say; each key has the line where it stands."""
    one = reader("exec:\n  - &first\n    cmd: a\n    if-candidate: true\n  - <<: *first\n    cmd: b\n")
    config = one.read()
    assert [(command.cmd, command.if_candidate) for command in config.exec] == [("a", True), ("b", True)]
    assert one.lines["exec", 1, "cmd"] == 6 and one.lines["exec", 1, "if_candidate"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "data: &d\n  dir: /a\n  compress: false\nfuse:\n  <<: *d\n",
            r":3: fuse\.compress: unknown key; did you mean data\.compress\? \(merged by << on line 5\)",
        ),
        ("data:\n  <<: 1\n", r":2: data: <<: write \*NAME of a mapping that has &NAME, or a list of those"),
        ("data: &d\n  dir: a\n  <<: *d\n", r":3: data: <<: it leads back to itself"),
        ("data:\n  '<<': {dir: a}\n", r":2: data\.<<: unknown key"),
        ("<<: {dat: 1}", r":1: dat: unknown key; did you mean data\? \(merged"),
        ("data: {dir: a, <<: {dir: b}, dir: c}", r"data\.dir: given twice"),
    ],
)
def test_what_is_merged_is_judged_as_if_it_were_written(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(text)
