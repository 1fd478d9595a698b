"""Bodies of forms: as long and as slow as anybody needs, over a real connection."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from bridge.edge.bounded import bounded_body


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Content-Length: 9\r\n\r\n", None),
        (b"Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n", None),
        (b"Content-Length: 5\r\n\r\nhel", None),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", None),
    ],
    ids=["whole", "too long", "too long without saying so", "broken off", "broken off in chunks"],
)
async def test_a_body_is_whole_or_none(sent: bytes, found: bytes | None) -> None:
    """What is too long, or breaks off because its sender has gone, is none; it is no fault of ours either."""
    became: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    began = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        began.set()
        try:
            became.set_result(await bounded_body(request, 8, 30.0))
        except Exception as fault:  # noqa: BLE001 - whatever it is, the test has to hear of it
            became.set_exception(fault)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + sent)
        await writer.drain()
        await began.wait()
        writer.close()
        async with asyncio.timeout(15):
            assert await became == found
    finally:
        await runner.cleanup()
