"""`pylitefs mount`: one node in the foreground, with LiteFS's own flags and config file.

The rule: whatever ends it (Ctrl-C, SIGTERM, a closed terminal, a parent that died, its application's end)
ends it cleanly: one path, `Node.stop()`, which unmounts. A signal is the application's, if one runs.
"""

import gc
import logging
import os
import queue
import shlex
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pylitefs.application import Application
from pylitefs.cli import logs, tracelog
from pylitefs.config import Config, ExecCommand, check_mountable, find_config, load_config
from pylitefs.errors import PylitefsError
from pylitefs.signals import handled
from pylitefs.trace import Tracer

if TYPE_CHECKING:
    from pylitefs.node import Node

log = logging.getLogger("pylitefs")

#: Gets a signal's number, or None when the node is to end. A handler may interrupt another, and of what one
#: can wait for only this may be used in it: a second signal inside `threading.Event.set()` waits for itself.
Ending = queue.SimpleQueue[int | None]

READY_EVERY_S = 0.02

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
@click.option("--halt-on-write", is_flag=True, help="A write on a replica takes the HALT lock by itself.")
@click.option("--until-eof", is_flag=True, help="End when standard input does: for what starts nodes.")
@click.option(
    "--proxy-forward",
    default="",
    envvar="PYLITEFS_PROXY_FORWARD",
    metavar="primary|URL",
    help="Let a replica's proxy pass writes on to the primary's, instead of answering with fly-replay.",
)
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
    halt_on_write: bool,
    until_eof: bool,
    proxy_forward: str,
    command: tuple[str, ...],
) -> int:
    """Run one node in the foreground: mount its databases, serve its HTTP API, and follow or be the primary.

    The config file is LiteFS's litefs.yml. Ctrl-C or SIGTERM unmounts and ends. With a command after `--`,
    or `exec` in the file, that is started once the node is ready; it gets the signals, and the node ends
    with its exit code.
    """
    path = config_path or find_config()
    # An error in the rest of the file is told as the file wants its log.
    loaded = load_config(path, expand_env=not no_expand_env, on_log=logs.set_up)
    config = _with_flags(loaded.config, debug=debug, fuse_debug=fuse_debug, halt_on_write=halt_on_write)
    logs.set_up(config.log)
    if command:
        config = config.model_copy(update={"exec": (ExecCommand(cmd=shlex.join(command)),)})
    for warning in check_mountable(loaded):
        log.warning("%s", warning)
    tracer = Tracer(config.lease.hostname)
    if tracing:
        tracer.listen(tracelog.to_log)
    if config.tracing.enabled and config.tracing.path:
        tracer.listen(tracelog.to_file(config.tracing))

    def make_node() -> "Node":
        # Here and not above: a wrong config file is told without loading (or missing) libfuse.
        # What is loaded stays for good: the garbage collector need never look at it, now or in a commit.
        gc.disable()
        from pylitefs.node import Node

        node = Node(
            config,
            tracer=tracer,
            skip_unmount=skip_unmount,
            observed_locks=observed_locks,
            proxy_forward=proxy_forward,
        )
        node.on_loaded = _keep_what_is_loaded
        return node

    return _serve(config, make_node, until_eof=until_eof)


def _with_flags(config: Config, *, debug: bool, fuse_debug: bool, halt_on_write: bool) -> Config:
    return config.model_copy(
        update={
            "log": config.log.model_copy(update={"debug": config.log.debug or debug}),
            "lease": config.lease.model_copy(
                update={"halt_on_write": config.lease.halt_on_write or halt_on_write}
            ),
            "fuse": config.fuse.model_copy(update={"debug": config.fuse.debug or fuse_debug}),
        }
    )


def _serve(config: Config, make_node: Callable[[], "Node"], *, until_eof: bool) -> int:
    ending = Ending()
    # Handlers of Python's, or libfuse would install its own.
    with handled(_ENDING, lambda number, frame: ending.put(number)):
        if until_eof:
            threading.Thread(target=_end_with_stdin, args=(ending,), name="until-eof", daemon=True).start()
        node = make_node()
        try:
            node.start()
        except PylitefsError as error:
            if config.exit_on_error:
                raise
            gc.enable()
            log.error("%s; staying up, as exit-on-error is false", error)
            ending.get()
            return 1
        application = Application(config.exec, candidate=config.lease.candidate, token=config.http.token)
        node.before_end = application.end
        run = _Run(node, application, ending)
        # A signal handler may interrupt anything, so the stopping itself is a thread's work.
        threads = [threading.Thread(target=run.stop_at_end, name="stop")]
        if config.exec:
            threads.append(threading.Thread(target=run.run_application, name="exec"))
        for thread in threads:
            thread.start()
        try:
            code = node.wait()
        finally:
            application.end()
            ending.put(None)
            for thread in threads:
                thread.join()
        # A node that failed says so, however well its application then ended.
        return code or run.exit_code or 0


def _keep_what_is_loaded() -> None:
    gc.freeze()
    gc.enable()


class _Run:
    """A node and its application, and what ends them."""

    def __init__(self, node: "Node", application: Application, ending: Ending) -> None:
        self._node = node
        self._application = application
        self._ending = ending
        self.exit_code: int | None = None
        """The application's, once it has ended."""

    def stop_at_end(self) -> None:
        """Pass signals on to the application; without one, or at the end, stop the node."""
        while (number := self._ending.get()) is not None and self._application.signal(number):
            log.info("%s passed on to the application", signal.Signals(number).name)
        # Its mount stays until it has ended.
        self._application.end()
        try:
            self._node.stop()
        except PylitefsError as error:
            log.error("%s", error)

    def run_application(self) -> None:
        """Start the application once the node is ready; its end is the node's."""
        try:
            status, waits = self._node.status, not self._node.config.skip_sync
            while waits and (not status.ready or status.promoting):
                if self._node.ended.wait(READY_EVERY_S):
                    return
            self.exit_code = self._application.run()
        except PylitefsError as error:
            log.error("%s", error)
            self.exit_code = 1
        if self.exit_code is not None:
            self._ending.put(None)


def _end_with_stdin(ending: Ending) -> None:
    while os.read(0, 4096):
        pass
    ending.put(None)
