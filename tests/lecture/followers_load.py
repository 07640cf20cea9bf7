"""A class of followers as one program: `python -m tests.lecture.followers_load PORT TOKEN COUNT`.

Each reads the events over a connection of its own, unpacks them, and notes when it has which entry. It says
`there` once all of them have the first line. Then it is told the number of an entry, waits until all have
it, and prints a line of JSON: for each follower, when it had which entry (`time.monotonic()`, which all
processes share), and its bytes.
"""

import asyncio
import json
import re
import sys
import time
import zlib

_SEQ = re.compile(rb'\{"entry":\{"seq":([0-9]+),')


class Follower:
    """One of them."""

    def __init__(self) -> None:
        self.had: dict[int, float] = {}
        self.bytes = 0
        self.more = asyncio.Event()

    async def follow(self, port: int, token: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /events?token={token} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        unpack, text = zlib.decompressobj(wbits=31), b""
        try:
            while size := int(await reader.readline(), 16):
                data = await reader.readexactly(size + 2)
                now = time.monotonic()
                self.bytes += size
                text += unpack.decompress(data[:-2])
                whole, _, text = text.rpartition(b"\n")
                for found in _SEQ.finditer(whole):
                    self.had.setdefault(int(found[1]), now)
                self.more.set()
        except (ValueError, asyncio.IncompleteReadError):
            pass  # The lecture has ended.
        finally:
            writer.close()

    async def has(self, seq: int) -> None:
        while seq not in self.had:
            self.more.clear()
            await self.more.wait()


async def main(port: int, token: str, count: int) -> None:
    followers = [Follower() for _ in range(count)]
    tasks = [asyncio.ensure_future(one.follow(port, token)) for one in followers]
    for one in followers:
        await one.more.wait()
    print("there", flush=True)
    last = int(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))
    async with asyncio.timeout(120):
        for one in followers:
            await one.has(last)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps([{"had": one.had, "bytes": one.bytes} for one in followers]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
