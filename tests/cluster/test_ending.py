"""What ends a program with nodes: any of three signals, once, and nothing disturbs the clean-up after it."""

import os
import signal
from collections.abc import Iterator

import pytest

from pylitefs.cluster.ending import SIGNALS, ended_by_signals, ignore_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals are the whole process's: they are put back as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ctrl_c_a_kill_and_a_closed_terminal_are_what_ends_it() -> None:
    assert set(SIGNALS) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("again", SIGNALS)
def test_the_first_signal_ends_the_block_and_no_other_its_clean_up(number: int, again: int) -> None:
    cleaned_up = False
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 10)  # The handler runs before the next line at the latest.
        finally:
            os.kill(os.getpid(), again)
            cleaned_up = True
    assert cleaned_up


def test_afterwards_signals_do_what_they_did_before() -> None:
    got: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: got.append(number))
    with ended_by_signals():
        pass
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert got == list(SIGNALS)


def test_from_now_on_all_are_ignored() -> None:
    ignore_signals()
    for number in SIGNALS:
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_IGN
