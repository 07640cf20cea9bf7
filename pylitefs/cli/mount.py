"""`pylitefs mount`: one node in the foreground, with LiteFS's own flags and config file.

The rule: whatever ends it (Ctrl-C, SIGTERM, a closed terminal, a parent that died) ends it cleanly:
one path, `Node.stop()`, which unmounts.
"""

import contextlib
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import click

from pylitefs.cli import logs, tracelog
from pylitefs.config import Config, check_mountable, find_config, load_config
from pylitefs.errors import ConfigError, PylitefsError
from pylitefs.trace import Tracer

log = logging.getLogger("pylitefs")

#: Gets an item when the node is to end. A handler may interrupt another, and of the things to wait for only
#: this one may be used in it: a second signal inside `threading.Event.set()` waits for itself, for good.
Ending = queue.SimpleQueue[None]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(short_help="Run a node: mount its databases and replicate them.")
@click.option(
    "--config",
    "-config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The config file; otherwise ./litefs.yml, ~/litefs.yml or /etc/litefs.yml.",
)
@click.option("--no-expand-env", "-no-expand-env", is_flag=True, help="Leave $VAR in the config file alone.")
@click.option("--debug", "-debug", is_flag=True, help="Log more, as log.debug does.")
@click.option("--fuse.debug", "-fuse.debug", "fuse_debug", is_flag=True, help="Let libfuse print every call.")
@click.option("--tracing", "-tracing", is_flag=True, help="Log every tracepoint.")
@click.option("--skip-unmount", "-skip-unmount", is_flag=True, help="Leave the mount in place at the end.")
@click.option("--observed-locks", is_flag=True, help="Be told of every lock: lock.* tracepoints, and slower.")
@click.option("--until-eof", is_flag=True, help="End when standard input does: for what starts nodes.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def mount(
    *,
    config_path: Path | None,
    no_expand_env: bool,
    debug: bool,
    fuse_debug: bool,
    tracing: bool,
    skip_unmount: bool,
    observed_locks: bool,
    until_eof: bool,
    command: tuple[str, ...],
) -> int:
    """Run one node in the foreground: mount its databases, serve its HTTP API, and follow or be the primary.

    The config file is LiteFS's litefs.yml. Ctrl-C or SIGTERM unmounts and ends. An application after
    `--` is not supported yet and is refused.
    """
    loaded = load_config(config_path or find_config(), expand_env=not no_expand_env)
    config = _with_flags(loaded.config, debug=debug, fuse_debug=fuse_debug)
    logs.set_up(config.log)
    if command:
        text = " ".join(command)
        raise ConfigError(f"-- {text}: not supported yet: start the application yourself, once it is mounted")
    for warning in check_mountable(loaded):
        log.warning("%s", warning)
    tracer = Tracer(config.lease.hostname)
    if tracing:
        tracer.listen(tracelog.to_log)
    if config.tracing.enabled and config.tracing.path:
        tracer.listen(tracelog.to_file(config.tracing))
    return _serve(
        config, tracer, skip_unmount=skip_unmount, observed_locks=observed_locks, until_eof=until_eof
    )


def _with_flags(config: Config, *, debug: bool, fuse_debug: bool) -> Config:
    return config.model_copy(
        update={
            "log": config.log.model_copy(update={"debug": config.log.debug or debug}),
            "fuse": config.fuse.model_copy(update={"debug": config.fuse.debug or fuse_debug}),
        }
    )


def _serve(
    config: Config, tracer: Tracer, *, skip_unmount: bool, observed_locks: bool, until_eof: bool
) -> int:
    # Here and not above: a wrong config file is told without loading (or missing) libfuse.
    from pylitefs.node import Node

    ending = Ending()
    with _signals(ending):
        if until_eof:
            threading.Thread(target=_end_with_stdin, args=(ending,), name="until-eof", daemon=True).start()
        node = Node(config, tracer=tracer, skip_unmount=skip_unmount, observed_locks=observed_locks)
        try:
            node.start()
        except PylitefsError as error:
            if config.exit_on_error:
                raise
            log.error("%s; staying up, as exit-on-error is false", error)
            ending.get()
            return 1
        # A signal handler may interrupt anything, so the stopping itself is a thread's work.
        stopper = threading.Thread(target=_stop_at_end, args=(ending, node.stop), name="stop")
        stopper.start()
        try:
            return node.wait()
        finally:
            ending.put(None)
            stopper.join()


def _stop_at_end(ending: Ending, stop: Callable[[], None]) -> None:
    ending.get()
    try:
        stop()
    except PylitefsError as error:
        log.error("%s", error)


def _end_with_stdin(ending: Ending) -> None:
    while os.read(0, 4096):
        pass
    ending.put(None)


@contextlib.contextmanager
def _signals(ending: Ending) -> Iterator[None]:
    """Have the ending signals put into `ending`; handlers of Python's, or libfuse would install its own."""

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ending.put(None)

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
