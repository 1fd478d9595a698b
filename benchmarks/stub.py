"""A target that answers at once, over raw sockets: ``python -m benchmarks.stub`` prints its port."""

from __future__ import annotations

import asyncio

from benchmarks.cores import allowed, keep_to

_ANSWER = b'{"product_url":"https://school.example.org/p","registration_id":583919}'
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_ANSWER),
    _ANSWER,
)


class _Target(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._transport.write(_RESPONSE)  # type: ignore[attr-defined]


async def main() -> None:
    keep_to(1, allowed())
    server = await asyncio.get_running_loop().create_server(_Target, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
