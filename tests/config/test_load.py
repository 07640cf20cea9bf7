"""`litefs.yml`: read unchanged, and errors that name file, line, key and the nearest valid key."""

import socket
from pathlib import Path

import pytest

from pylitefs.config import Config, Loaded, LogConfig, check_mountable, find_config, load_config
from pylitefs.config.yaml import all_keys
from pylitefs.errors import ConfigError

#: What a Fly.io deployment has: every section, expressions, and features that pylitefs lacks.
DEPLOYED = """\
# The fuse section describes settings for the FUSE file system.
fuse:
  dir: "/litefs"
data:
  dir: "/var/lib/litefs"
exit-on-error: false
proxy:
  addr: ":8080"
  target: "localhost:8081"
  db: "db"
  passthrough:
    - "*.ico"
    - "*.png"
exec:
  - cmd: "node ./migrate.js"
    if-candidate: true
  - cmd: "npm start"
lease:
  type: "consul"
  candidate: ${FLY_REGION == PRIMARY_REGION}
  promote: true
  advertise-url: "http://${HOSTNAME}.vm.${FLY_APP_NAME}.internal:20202"
  consul:
    url: "${FLY_CONSUL_URL}"
    key: "litefs/${FLY_APP_NAME}"
"""

#: One key for everything that has a default other than the type's empty value.
DEFAULTS = {
    "exit-on-error": True,
    "data.dir": Path("/var/lib/litefs"),
    "data.compress": True,
    "data.retention": 600.0,
    "data.retention-monitor-interval": 60.0,
    "data.retention-behind-files": 10_000,
    "data.retention-behind-bytes": 1_000_000_000,
    "data.pace": True,
    "fuse.dir": Path("/litefs"),
    "fuse.replica-wal": "auto",
    "http.addr": ":20202",
    "http.snapshot-timeout": 10.0,
    "proxy.max-lag": 10.0,
    "proxy.primary-redirect-timeout": 5.0,
    "lease.candidate": True,
    "lease.newest-first": True,
    "lease.halt-lock-ttl": 30.0,
    "lease.halt-acquire-timeout": 10.0,
    "lease.reconnect-delay": 1.0,
    "lease.demote-delay": 10.0,
    "lease.consul.ttl": 10.0,
    "lease.consul.lock-delay": 1.0,
    "backup.delay": 1.0,
    "backup.full-sync-interval": 10.0,
    "log.format": "text",
    "tracing.enabled": True,
    "tracing.max-size": 64,
    "tracing.max-count": 8,
}


def load(folder: Path, text: str, **environment: str) -> Loaded:
    path = folder / "litefs.yml"
    path.write_text(text)
    return load_config(path, environment=environment)


def error(folder: Path, text: str) -> str:
    """The one line that `text` is refused with, without the folder."""
    with pytest.raises(ConfigError) as caught:
        check_mountable(load(folder, text))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "", 1)


def value(config: Config, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name.replace("-", "_"))
    return found


def test_a_deployed_file_is_read_unchanged(tmp_path: Path) -> None:
    config = load(
        tmp_path, DEPLOYED, FLY_REGION="fra", PRIMARY_REGION="ams", FLY_APP_NAME="shop", HOSTNAME="n1"
    ).config
    assert config.lease.candidate is False
    assert config.lease.advertise_url == "http://n1.vm.shop.internal:20202"
    assert config.lease.consul.key == "litefs/shop"
    assert [command.cmd for command in config.exec] == ["node ./migrate.js", "npm start"]
    assert [command.if_candidate for command in config.exec] == [True, False]
    assert config.proxy.passthrough == ("*.ico", "*.png")
    assert config.exit_on_error is False


def test_a_deployed_file_can_be_mounted_where_its_lease_service_is_named(tmp_path: Path) -> None:
    """An empty FLY_CONSUL_URL is refused by the key that it was for."""
    variables = {"FLY_REGION": "ams", "PRIMARY_REGION": "ams", "FLY_APP_NAME": "shop", "HOSTNAME": "n1"}
    loaded = load(tmp_path, DEPLOYED, FLY_CONSUL_URL="http://:t@consul:8500/x", **variables)
    assert check_mountable(loaded) == []
    assert loaded.config.lease.shown_hostname == socket.gethostname()
    with pytest.raises(ConfigError, match=r"litefs\.yml:24: lease\.consul\.url: '' is not a URL: write http"):
        check_mountable(load(tmp_path, DEPLOYED, **variables))


def test_every_key_of_litefs_has_its_default() -> None:
    config = Config()
    assert DEFAULTS.keys() <= set(all_keys())
    for key in all_keys():
        assert value(config, key) == DEFAULTS.get(key, value(config, key) or value(config, key)), key
        if key not in DEFAULTS:
            assert not value(config, key), f"{key} has a default that this test does not list"


def test_every_key_can_be_written(tmp_path: Path) -> None:
    """All keys at once, so that a key which is only spelled in the model cannot hide."""
    text = """\
exit-on-error: true
skip-sync: true
strict-verify: true
exec: "app --port 8081"
data: {dir: /d, compress: false, retention: 1h30m, retention-monitor-interval: 5s,
       retention-behind-files: 7, retention-behind-bytes: 64MB, pace: false}
fuse: {dir: /m, allow-other: true, debug: true, replica-wal: writable, moments: true}
http: {addr: "localhost:1", snapshot-timeout: 3s, token: 0123456789abcdef, open-stream: true}
proxy: {addr: ":1", target: "localhost:2", db: d, debug: true, max-lag: 1s, passthrough: [a],
        always-forward: [b], primary-redirect-timeout: 1s, read-timeout: 2s, read-header-timeout: 3s,
        write-timeout: 4s, idle-timeout: 5s}
lease: {type: static, hostname: h, advertise-url: "http://h:1", candidate: yes, promote: true,
        reconnect-delay: 2s, demote-delay: 3s, newest-first: false, databases: [a.db, b.db],
        halt-lock-ttl: 4s, halt-acquire-timeout: 5s, halt-on-write: true,
        consul: {url: u, key: k, ttl: 5s, lock-delay: 2s}}
backup: {type: file, path: p, url: u, cluster: c, auth-token: t, delay: 1s, full-sync-interval: 2s}
log: {format: json, timestamp: true, debug: true}
tracing: {enabled: false, path: /t, max-size: 1, max-count: 2, compress: true}
"""
    loaded = load(tmp_path, text)
    assert loaded.config.exec[0].cmd == "app --port 8081"
    assert loaded.config.data.retention == 5400.0
    assert loaded.config.data.retention_behind_bytes == 64_000_000
    assert loaded.config.http.host_port == ("localhost", 1)
    assert loaded.config.lease.databases == ("a.db", "b.db")
    for key in all_keys():
        assert loaded.is_set(*key.replace("-", "_").split(".")), key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "lease:\n  type: static\n  candidat: true",
            "3: lease.candidat: unknown key; did you mean lease.candidate?",
        ),
        ("fuse: {}\nadvertise_url: x", "2: advertise_url: unknown key; did you mean lease.advertise-url?"),
        ("\nleese: {}", "2: leese: unknown key; did you mean lease?"),
        ("data:\n  dirr: x", "2: data.dirr: unknown key; did you mean data.dir?"),
        (
            "log: {shade: x}",
            "1: log.shade: unknown key; valid here: format, timestamp, debug",
        ),
        (
            "lease:\n  type: statik",
            "2: lease.type: 'statik' is not valid: write 'static' or 'consul'; did you mean static?",
        ),
        ("lease: {candidate: maybe}", "1: lease.candidate: 'maybe' is not valid: write true or false"),
        ("tracing: {max-size: big}", "1: tracing.max-size: 'big' is not valid: write a whole number"),
        (
            "data:\n\n  retention: 10",
            "3: data.retention: not a duration: write a number with a unit, such as 500ms, 10s, 10m or 1h30m",
        ),
        ("fuse:\n  dir: ''", "2: fuse.dir: required: name a directory"),
        ("data:\n  dir: ''", "2: data.dir: required: name a directory"),
        ("http: {addr: 20202}", "1: http.addr: '20202' is not an address: write :20202 or HOST:PORT"),
        ("lease: static", "1: lease: must hold keys below it"),
        ("- lease", "1: must hold keys below it"),
        ("proxy:\n  passthrough: x", "2: proxy.passthrough: must be a list"),
        ("fuse:\n  dir: [a]", "2: fuse.dir: must be a single value"),
        ("skip-sync: true\nskip-sync: true", "2: skip-sync: given twice, first on line 1"),
        ("a: [1", "1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("fuse:\n\tdir: x", "2: not YAML: found character '\\t' that cannot start any token"),
        (
            "fuse:\n  dir: ${A = 1}",
            "2: fuse.dir: cannot read the expression ${A = 1}: write ${VAR}, "
            '${VAR == "text"} or ${A != B}, or pass -no-expand-env to leave every $ alone',
        ),
        (
            "fuse: {dir: /x}\ndata: {dir: /x/}",
            "1: fuse.dir: /x is data.dir too: the mount and the data directory must be two directories",
        ),
        (
            "fuse: {dir: /x}\ndata:\n  dir: /x/data",
            "3: data.dir: /x/data lies inside fuse.dir /x, which the mount will cover: move it elsewhere",
        ),
        (
            "lease:\n  type: static\n  candidate: false",
            "1: lease.advertise-url: required with candidate: false: the URL of the primary, http://HOST:20202",
        ),
        (
            "lease:\n  type: static\n  advertise-url: host:20202",
            "3: lease.advertise-url: 'host:20202' is not a URL: write http://HOST:20202",
        ),
        (
            "lease: {type: static}\nexec: app 'x",
            '2: exec[0].cmd: "app \'x" cannot be split into words: No closing quotation',
        ),
        (
            "lease: {type: static}\nexec:\n  - cmd: ' '",
            "3: exec[0].cmd: required: name a program",
        ),
        (
            "lease: {type: static}\nproxy:\n  addr: '8080'",
            "3: proxy.addr: '8080' is not an address: write :8080",
        ),
        (
            "lease: {type: static}\nproxy:\n  addr: ':8080'\n  target: localhost",
            "4: proxy.target: 'localhost' is not an address: write localhost:8081",
        ),
        (
            "lease: {type: static}\nproxy: {addr: ':8080', target: 'http://localhost:8081'}",
            "2: proxy.target: 'http://localhost:8081' is a URL and no address: write localhost:8081",
        ),
        (
            "lease: {type: static}\nproxy: {addr: ':8080', target: 'https://app/x'}",
            "2: proxy.target: 'https://app/x' is a URL and no address: write app:PORT",
        ),
        (
            "lease: {type: static}\nproxy: {addr: ':8080', target: 'localhost:99999'}",
            "2: proxy.target: 'localhost:99999' is not an address: the highest port is 65535; "
            "write localhost:8081",
        ),
        (
            "lease: {type: static}\nproxy: {addr: 'http://0.0.0.0:8080'}",
            "2: proxy.addr: 'http://0.0.0.0:8080' is a URL and no address: write 0.0.0.0:8080",
        ),
        (
            "lease: {type: static}\nproxy: {addr: ':99999'}",
            "2: proxy.addr: ':99999' is not an address: the highest port is 65535; write :8080",
        ),
        (
            "http: {addr: 'http://0.0.0.0:20202'}",
            "1: http.addr: 'http://0.0.0.0:20202' is a URL and no address: write 0.0.0.0:20202",
        ),
        (
            "lease: {type: static, advertise-url: 'http://h:99999'}",
            "1: lease.advertise-url: 'http://h:99999' is not a URL: write http://HOST:20202",
        ),
        (
            "lease: {type: static, advertise-url: 'http://[::1'}",
            "1: lease.advertise-url: 'http://[::1' is not a URL: write http://HOST:20202",
        ),
        (
            "lease:\n  type: static\n  databases: [a.db]",
            "3: lease.databases: cannot specify a database replication filter on candidate nodes: a replica "
            "may follow some databases alone; leave it out here, or write candidate: false",
        ),
        (
            "lease: {type: static}\nproxy: {addr: ':8080', target: 'localhost:1'}",
            "2: proxy.db: required with proxy.addr: the database whose TXID is followed",
        ),
        (
            "lease: {type: static}\nbackup:\n  type: litefs-cloud",
            "3: backup.type: LiteFS Cloud ended in October 2024: write file, with backup.path, or leave it "
            "empty",
        ),
        (
            "lease:\n  type: consul\n  consul: {url: 'http://c:8500'}",
            "3: lease.consul.key: required with consul: the same in all nodes, litefs/NAME",
        ),
        (
            "lease:\n  type: consul\n  consul: {url: 'consul://u:secret@c', key: k}",
            "3: lease.consul.url: 'consul://…@c' is not a URL: write http://HOST:8500",
        ),
        (
            "lease:\n  type: consul\n  consul: {url: 'http://c:8500', key: k, ttl: 100ms}",
            "3: lease.consul.ttl: shorter than 0.5 s: write 10s",
        ),
    ],
)
def test_an_error_names_line_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    assert error(tmp_path, text) == f"litefs.yml:{expected}"


def test_a_file_without_a_lease_says_what_to_write(tmp_path: Path) -> None:
    assert error(tmp_path, "fuse: {dir: /m}") == "litefs.yml: lease.type: required: write static, or consul"
    assert error(tmp_path, "") == "litefs.yml: lease.type: required: write static, or consul"


def test_keys_that_change_nothing_are_ignored_with_one_warning_each(tmp_path: Path) -> None:
    loaded = load(tmp_path, "lease:\n  type: static\n  promote: true\n  demote-delay: 2s\n")
    assert [line.removeprefix(f"{tmp_path}/") for line in check_mountable(loaded)] == [
        "litefs.yml:3: lease.promote: ignored: a static primary is the primary for good",
        "litefs.yml:4: lease.demote-delay: ignored: a static primary is the primary for good",
    ]


def test_an_unset_proxy_and_backup_and_tracing_are_no_obstacle(tmp_path: Path) -> None:
    text = "lease: {type: static}\nproxy: {addr: '', db: x}\nbackup: {type: ''}\ntracing: {path: t}\nexec: []"
    assert check_mountable(load(tmp_path, text)) == []


def test_a_null_value_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, "fuse:\n  dir:\ndata: ~\n").config == Config()


def test_numbers_stay_the_text_they_were(tmp_path: Path) -> None:
    assert load(tmp_path, "lease: {hostname: 0123}").config.lease.hostname == "0123"


def test_hostname_is_always_set(tmp_path: Path) -> None:
    assert load(tmp_path, "lease: {hostname: $HOSTNAME}").config.lease.hostname
    assert load(tmp_path, "lease: {hostname: $HOSTNAME}", HOSTNAME="n7").config.lease.hostname == "n7"


def test_expansion_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "litefs.yml").write_text("lease: {hostname: '$A'}")
    loaded = load_config(tmp_path / "litefs.yml", expand_env=False, environment={"A": "x"})
    assert loaded.config.lease.hostname == "$A"


def test_without_a_hostname_the_host_of_the_url_is_shown(tmp_path: Path) -> None:
    lease = load(tmp_path, "lease: {advertise-url: 'http://db1.example:20202'}").config.lease
    assert lease.shown_hostname == "db1.example"


def test_a_missing_file_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; name a config file with -config FILE"):
        load_config(tmp_path / "absent.yml")


def test_the_search_path_is_here_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    if not Path("/etc/litefs.yml").exists():
        with pytest.raises(ConfigError, match="no config file: looked for "):
            find_config()
    (home / "litefs.yml").touch()
    assert find_config() == home / "litefs.yml"
    (here / "litefs.yml").touch()
    assert find_config().resolve() == here / "litefs.yml"


def test_a_name_with_a_control_character_is_refused(tmp_path: Path) -> None:
    """No node has such a database, so following it alone would be following nothing."""
    head = "lease:\n  type: static\n"
    said = error(tmp_path, head + '  databases: ["a\\ndb"]\n')
    assert "lease.databases" in said and "control character" in said
    assert "control character" in error(tmp_path, head + '  hostname: "\\x1b[31m"\n')


EMPTIED = (
    "it became nothing, as in LiteFS; "
    'write ${VAR}, ${VAR == "text"} or ${A != B}, or pass -no-expand-env to leave every $ alone'
)


def test_what_a_shell_would_expand_becomes_nothing_with_a_warning(tmp_path: Path) -> None:
    """As in LiteFS, in a comment, in a command, and in a part of a value: each is named with its line."""
    text = (
        "# the port: ${PORT:-8080}, ${\nlease: {type: static}\ndata: {dir: '/d/${APP:-x}'}\n"
        "exec:\n  - cmd: node --port ${PORT:-8080} x${}y\n"
    )
    loaded = load(tmp_path, text, PORT="1")
    assert loaded.config.exec[0].cmd == "node --port  xy"
    assert loaded.config.data.dir == Path("/d")
    assert [line.removeprefix(f"{tmp_path}/") for line in check_mountable(loaded)] == [
        f"litefs.yml:1: cannot read the expression ${{PORT:-8080}}: {EMPTIED}",
        f"litefs.yml:1: cannot read the expression ${{: {EMPTIED}",
        f"litefs.yml:3: cannot read the expression ${{APP:-x}}: {EMPTIED}",
        f"litefs.yml:5: cannot read the expression ${{PORT:-8080}}: {EMPTIED}",
        f"litefs.yml:5: cannot read the expression ${{}}: {EMPTIED}",
    ]


def test_no_default_takes_the_place_of_a_value_that_became_nothing(tmp_path: Path) -> None:
    """Or `candidate` would be true on every node. An empty value beside it is none of its business."""
    said = error(tmp_path, "lease:\n  type: static\n  candidate: ${REGION = 'fra'}")
    assert said.startswith(
        "litefs.yml:3: lease.candidate: cannot read the expression ${REGION = 'fra'}: write ${VAR}"
    )
    load(tmp_path, "lease: {hostname: '', advertise-url: 'http://h${X:-y}:1'}")
    assert "; ${PORT:-8080} became nothing" in error(tmp_path, "http: {addr: ':${PORT:-8080}'}")


def test_white_space_round_what_is_pasted_goes(tmp_path: Path) -> None:
    """A URL, a name, a choice, a number, a token. A file's own name may begin with a space."""
    text = """\
lease: {type: "static ", hostname: " db1\\n", candidate: " false", databases: [" a.db"],
        advertise-url: " http://db1:20202 "}
http: {addr: "\\t:20202 ", token: "0123456789abcdef\\n", snapshot-timeout: " 3s"}
fuse: {dir: " m"}
proxy: {addr: ":1 ", target: " localhost:2\\u00a0", db: " d", passthrough: [" /a "]}
tracing: {max-size: " 3 "}
"""
    config = load(tmp_path, text).config
    assert check_mountable(load(tmp_path, text)) == []
    assert (config.lease.type, config.lease.hostname, config.lease.candidate) == ("static", "db1", False)
    assert (config.lease.advertise_url, config.lease.databases) == ("http://db1:20202", (" a.db",))
    assert (config.http.addr, config.http.token) == (":20202", "0123456789abcdef")
    assert (config.http.snapshot_timeout, config.tracing.max_size) == (3.0, 3)
    assert config.fuse.dir.name == " m"
    assert (config.proxy.addr, config.proxy.target, config.proxy.db) == (":1", "localhost:2", " d")
    assert config.proxy.passthrough == ("/a",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("log: {format: json, timestamp: true}\ndata: {dirr: x}", LogConfig(format="json", timestamp=True)),
        ("data: {dirr: x}\nlog: {format: json}", LogConfig(format="json")),
        ("log: {format: json, debug: maybe, shade: x}", LogConfig(format="json")),
        ("log:\n  format: json\ndata:\n  dir: [a\nlease:\n  type: x\n", LogConfig(format="json")),
        ("log:\n  format: json\n\tdata: 1", None),
        ("log: {format: xml}", LogConfig()),
    ],
)
def test_the_log_s_section_is_told_before_anything_is_judged(
    tmp_path: Path, text: str, told: LogConfig | None
) -> None:
    """So that a file with an error in it is told in the form that it asks for, wherever the error is."""
    path = tmp_path / "litefs.yml"
    path.write_text(text)
    found: list[LogConfig] = []
    with pytest.raises(ConfigError):
        load_config(path, environment={}, on_log=found.append)
    assert found == ([told] if told else [])
