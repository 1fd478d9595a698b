"""A closed-loop load generator over raw sockets: cheap enough not to be what is measured.

Runs as a process of its own: ``python -m benchmarks.load HOST PORT CONNECTIONS SECONDS`` prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.cores import allowed, keep_to

_BODY = (
    '{"api_key":"bench-key","remote_user_id":"%s","firstname":"Ada","lastname":"Lovelace","email":"%s@example.org",'
    '"remote_product_id":"ABCD1234","amount_paid":"49.90","send_email":true}'
)


def request(user: str) -> bytes:
    """Return a registration of a new person, as the vendor's page shows it."""
    body = (_BODY % (user, user)).encode()
    head = f"POST /api/registrations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Sender(asyncio.Protocol):
    """One connection: sends, waits for the answer, sends the next one."""

    def __init__(self, name: str, until: float, latencies: list[float], done: asyncio.Future[None]) -> None:
        self._name, self._until, self._latencies, self._done = name, until, latencies, done
        self._number = 0
        self._buffer = b""
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._number += 1
        self._started = time.perf_counter()
        self._transport.write(request(f"{self._name}-{self._number}"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        if b" 200 " not in head[:20]:
            self._done.set_exception(RuntimeError(self._buffer[:300].decode()))
            self._transport.close()
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._started)
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._done.set_result(None)
            self._transport.close()


async def load(host: str, port: int, connections: int, seconds: float) -> dict[str, float]:
    """Send as fast as ``connections`` closed loops can; return requests per second and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    waits = []
    for number in range(connections):
        done = loop.create_future()
        name = f"u{time.time_ns()}-{number}"
        await loop.create_connection(lambda name=name, done=done: _Sender(name, until, latencies, done), host, port)
        waits.append(done)
    await asyncio.gather(*waits)
    took = time.perf_counter() - started
    latencies.sort()
    at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]  # noqa: E731 - two uses, side by side
    return {"per_second": len(latencies) / took, "seconds": took, "p50_ms": at(0.5), "p99_ms": at(0.99)}


if __name__ == "__main__":
    keep_to(1, allowed())
    print(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))))
