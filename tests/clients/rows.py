"""The rows of docs/clients.md: a library, its script here, and how it gets onto this machine.

The rule: a version that can be asked for is pinned here, so the table can say it. What Debian brings, and
Python and SQLite themselves, are as old or new as the machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Program:
    """What is started for a script, before PRIMARY REPLICA MODE."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """One library. `script` is its file here, `pin` the package that is asked for, "" for what is there."""

    script: str
    pin: str
    prepare: Callable[["Row", Path], Program]
    brings_sqlite: bool = False
    """Whether its SQLite comes with the pinned version."""
    needs_writable: bool = False
    """Whether it reads a replica's database in WAL mode only with `fuse.replica-wal: writable`."""

    @property
    def version(self) -> str:
        """The pinned version, "" without a pin."""
        return self.pin.replace("==", "@").rpartition("@")[2].removeprefix("v")

    def program(self, packages: Path) -> Program:
        """The script, ready to be run; `packages` is where all that is installed goes."""
        return self.prepare(self, packages / f"{Path(self.script).stem}-{self.version}")


def do(*command: str, where: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a step of an installation, at low priority; the test fails with its last words."""
    done = subprocess.run(
        ["nice", "-n", "10", *command],
        cwd=where,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}", pytrace=False)


def need(program: str, what: str) -> None:
    if shutil.which(program) is None:
        pytest.fail(f"{program} is missing: install {what} for this row of docs/clients.md", pytrace=False)


def pip(pin: str, folder: Path) -> Path:
    """A folder with one package of Python's; it is made once."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.part")
        options = ["--quiet", "--disable-pip-version-check", "--upgrade", "--target", str(unfinished)]
        do(sys.executable, "-m", "pip", "install", *options, pin, where=ROOT)
        unfinished.rename(folder)
    return folder


def python(row: Row, folder: Path) -> Program:
    module = f"tests.clients.{Path(row.script).stem}"
    environment = {"PYTHONPATH": str(pip(row.pin, folder))} if row.pin else {}
    return Program((sys.executable, "-m", module), environment)


def node(row: Row, folder: Path) -> Program:
    """better-sqlite3 is compiled here, with the headers that come with a packaged Node.js."""
    need("npm", "Node.js 20 or newer, with npm")
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    headers = {"npm_config_nodedir": "/usr"} if Path("/usr/include/node/node.h").exists() else {}
    do("npm", "install", "--silent", "--no-audit", "--no-fund", row.pin, where=folder, environment=headers)
    own = folder / "node_modules" / "node" / "bin" / "node"
    command = str(own) if own.exists() else "node"
    return Program((command, str(HERE / row.script)), {"NODE_PATH": str(folder / "node_modules")})


def go(row: Row, folder: Path) -> Program:
    need("go", "Go 1.26 or newer")
    folder.mkdir(exist_ok=True)
    for name in ("go_sql.go", row.script):
        shutil.copy(HERE / name, folder)
    if not (folder / "go.mod").exists():
        do("go", "mod", "init", "client", where=folder)
    do("go", "get", row.pin, where=folder)
    do("go", "build", "-p", "1", "-buildvcs=false", "-o", "client", ".", where=folder)
    return Program((str(folder / "client"),), {})


def rust(row: Row, folder: Path) -> Program:
    need("cargo", "Rust 1.89 or newer")
    folder.mkdir(exist_ok=True)
    name, _, version = row.pin.partition("@")
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "client"\nversion = "0.0.0"\nedition = "2021"\n'
        f'[[bin]]\nname = "client"\npath = "main.rs"\n'
        f'[dependencies]\n{name} = {{ version = "={version}", features = ["bundled"] }}\n'
    )
    shutil.copy(HERE / row.script, folder / "main.rs")
    do("cargo", "build", "--quiet", "--jobs", "1", where=folder)
    return Program((str(folder / "target" / "debug" / "client"),), {})


def java(row: Row, folder: Path) -> Program:
    need("mvn", "Maven")
    need("java", "a JDK, 17 or newer")
    folder.mkdir(exist_ok=True)
    group, name, version = row.pin.replace("@", ":").split(":")
    (folder / "pom.xml").write_text(
        "<project><modelVersion>4.0.0</modelVersion>"
        "<groupId>client</groupId><artifactId>client</artifactId><version>0</version>"
        f"<dependencies><dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>"
        f"<version>{version}</version></dependency></dependencies></project>\n"
    )
    do("mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib", where=folder)
    return Program(("java", "-cp", f"{folder / 'lib'}/*", str(HERE / row.script)), {})


def debian(probe: tuple[str, ...], *packages: str) -> Callable[[Row, Path], Program]:
    """From Debian's packages, which root may install here; `probe` is a command that works with them."""

    def there() -> bool:
        return (
            shutil.which(probe[0]) is not None and subprocess.run(probe, capture_output=True).returncode == 0
        )

    def prepare(row: Row, folder: Path) -> Program:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        if not there():
            if os.geteuid() or shutil.which("apt-get") is None:
                pytest.fail(f"{' '.join(packages)} are missing: sudo {' '.join(install)}", pytrace=False)
            do("apt-get", "update", "-qq", where=ROOT)
            do(*install, where=ROOT, environment={"DEBIAN_FRONTEND": "noninteractive"})
        assert there(), f"{' '.join(probe)} does not work with {' '.join(packages)}"
        return Program((probe[0], str(HERE / row.script)), {})

    return prepare


_PHP = debian(
    ("php", "-r", "exit(class_exists('SQLite3') && class_exists('PDO') ? 0 : 1);"), "php-cli", "php-sqlite3"
)
_PERL = debian(("perl", "-MDBD::SQLite", "-MJSON::PP", "-e1"), "libdbd-sqlite3-perl")
_RUBY = debian(("ruby", "-rsqlite3", "-e1"), "ruby", "ruby-sqlite3")

ROWS = (
    Row("python_sqlite3.py", "", python),
    Row("python_apsw.py", "apsw==3.54.1.0", python, True),
    Row("python_sqlalchemy.py", "sqlalchemy==2.1.9", python),
    Row("python_django.py", "django==5.2.19", python),
    Row("python_peewee.py", "peewee==4.5.3", python),
    Row("python_aiosqlite.py", "aiosqlite==0.22.1", python),
    Row("python_datasette.py", "datasette==0.65.5", python),
    Row("node_better_sqlite3.js", "better-sqlite3@12.11.1", node, True),
    Row("node_sqlite.js", "node@26.10.0", node, True),
    Row("go_mattn.go", "github.com/mattn/go-sqlite3@v1.14.53", go, True),
    Row("go_modernc.go", "modernc.org/sqlite@v1.62.0", go, True),
    Row("go_ncruces.go", "github.com/ncruces/go-sqlite3@v0.37.0", go, True, needs_writable=True),
    Row("rust_rusqlite.rs", "rusqlite@0.43.0", rust, True),
    Row("java_sqlite_jdbc.java", "org.xerial:sqlite-jdbc@3.54.1.0", java, True),
    Row("php_sqlite3.php", "", _PHP),
    Row("php_pdo.php", "", _PHP),
    Row("perl_dbd_sqlite.pl", "", _PERL),
    Row("ruby_sqlite3.rb", "", _RUBY),
)
