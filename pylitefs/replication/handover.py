"""A lease on its way from the primary, over a replica's stream, to the replica.

    the lease's thread: HandOver(id), wait() ...      the stream: sends what waits, begin(), the frame

The rule: once the frame has begun to be sent, the lease may be the replica's, whatever becomes of the
connection; so from `begin` on it counts as handed over.
"""

from concurrent.futures import CancelledError, Future


class HandOver:
    """One lease for one stream."""

    def __init__(self, lease_id: str) -> None:
        self.lease_id = lease_id
        self._future: Future[None] = Future()

    def wait(self, timeout: float) -> bool:
        """Wait until it is sent; False if that was not begun. For the thread that has the lease."""
        try:
            self._future.result(timeout)
        except (TimeoutError, CancelledError):
            return not self._future.cancel()
        return True

    def begin(self) -> bool:
        """The frame is about to be sent; False if it is not wanted any more. For the stream."""
        return self._future.set_running_or_notify_cancel()

    def __enter__(self) -> "HandOver":
        """It was begun; the end of the block says that the frame was sent, or that nobody knows."""
        return self

    def __exit__(self, *_: object) -> None:
        self._future.set_result(None)

    def cancel(self) -> None:
        """The stream ends: nothing is sent any more."""
        self._future.cancel()
