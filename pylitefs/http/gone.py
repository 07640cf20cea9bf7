"""A connection that its client has closed is closed here at once.

hypercorn 0.18 keeps its descriptor until the connection would have been idle for too long, five seconds. So a
few hundred short requests a second, or 32 on a node with few descriptors, would be all that the API takes.
"""

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer


class PromptServer(TCPServer):
    """hypercorn's connection, which waits for nothing once its client is gone."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


def install() -> None:
    """Have hypercorn use it, from now on."""
    hypercorn.asyncio.run.TCPServer = PromptServer  # type: ignore[attr-defined]
