"""A target that answers after a while: ``python -m benchmarks.slow SECONDS`` prints its port, and at the end what came.

When its input ends it prints one line of JSON: when each request came (monotonic seconds), and the most that waited at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

_ANSWER = b'{"product_url":"https://school.example.org/p","registration_id":583919}'
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_ANSWER),
    _ANSWER,
)


@dataclass
class _Seen:
    after: float
    came: list[float] = field(default_factory=list)
    waiting: int = 0
    peak: int = 0


class _Target(asyncio.Protocol):
    def __init__(self, seen: _Seen) -> None:
        self._seen = seen
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if not found or len(rest) < length:
            return
        self._buffer = b""
        seen = self._seen
        seen.came.append(time.monotonic())
        seen.waiting += 1
        seen.peak = max(seen.peak, seen.waiting)
        asyncio.get_running_loop().call_later(seen.after, self._answer)

    def _answer(self) -> None:
        self._seen.waiting -= 1
        self._transport.write(_RESPONSE)  # type: ignore[attr-defined]


async def main(after: float) -> None:
    loop, seen = asyncio.get_running_loop(), _Seen(after)
    server = await loop.create_server(lambda: _Target(seen), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"came": seen.came, "peak": seen.peak}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
