"""Senders that mean harm: the bridge answers cheaply, and goes on answering the others."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
import zlib

import pytest

from tests.acceptance.rig import AMS_KEY, CHECKOUT_SECRET, emulators, running


@pytest.fixture
async def client(tmp_path):
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, sender):
        yield sender


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "unheard-of"])
async def test_a_compressed_body_is_not_taken(client, encoding: str) -> None:
    """In the protocol's own shape, with the reason; the next call is served."""
    status, body = await client.post(
        "/api/registrations", data=gzip.compress(b"{}"), headers={"Content-Encoding": encoding}
    )
    assert status == 400
    assert body == {"error_messages": {"body": "Compressed request bodies are not taken."}}
    assert (await client.register())[0] == 200


async def test_a_body_that_says_it_is_as_it_is_is_taken(client) -> None:
    """Identity is no compression."""
    status, _ = await client.post("/api/registrations", data=b"{", headers={"Content-Encoding": "Identity"})
    assert status == 400
    status, body = await client.post("/api/registrations", json={}, headers={"Content-Encoding": "identity"})
    assert status == 401, body


async def test_a_bomb_is_never_unfolded(client) -> None:
    """Three megabytes that would become three thousand; whoever else asks is answered meanwhile."""
    port = int(client.base_url.rpartition(":")[2])
    squeeze = zlib.compressobj(9)
    block = squeeze.compress(b"\0" * 10_000_000) + squeeze.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 300

    async def attack() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /api/registrations HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(bomb)
        )
        with contextlib.suppress(ConnectionError):
            writer.write(bomb + b"\r\n0\r\n\r\n")
            await writer.drain()
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        return answer

    started = time.process_time()
    attacks = asyncio.gather(*(attack() for _ in range(3)))
    worst = 0.0
    while not attacks.done():
        asked = time.monotonic()
        assert (await client.get("/healthz"))[0] == 200
        worst = max(worst, time.monotonic() - asked)
        await asyncio.sleep(0.02)
    assert set(await attacks) == {b"HTTP/1.1 400 Bad Request\r\n"}
    assert worst < 3.0  # a process that unfolds does nothing else for longer than that
    assert time.process_time() - started < 2.0  # unfolding one of them takes longer


async def test_a_body_full_of_openings_holds_nobody_up(client) -> None:
    """Sixty kilobytes in which a credential may begin at every eighth one are looked through once."""
    started = time.process_time()
    status, _ = await client.post(
        "/customapi.php",
        params={"secret": CHECKOUT_SECRET},
        data=b"<secret " * 8_000,
        headers={"Content-Type": "text/xml"},
    )
    assert status == 422
    assert time.process_time() - started < 2.0


_LINE = b"GET /customapi.php?secret=%s&email=ada@example.org&first_name=Ada" % CHECKOUT_SECRET.encode()


@pytest.mark.parametrize(
    "request_",
    [
        _LINE + b" Lovelace HTTP/1.1\r\nHost: x\r\n\r\n",  # the sender forgot to encode the space
        _LINE + b"\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        _LINE + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[" + _LINE[4:] + b"Lovelace HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/registrations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'{"api_key": "%s", "lastname": "Lovelace"}\r\n\r\n' % AMS_KEY.encode(),
    ],
)
async def test_what_is_no_http_is_not_quoted_back(client, request_: bytes, caplog) -> None:
    """The server's own message would hold the address with secret and learner: neither answer nor log does, and it counts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base_url.rpartition(":")[2]))
    writer.write(request_)
    await writer.drain()
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.0 400 Bad Request")
    assert body == b'{"error": "bad request"}'
    for hidden in (CHECKOUT_SECRET, AMS_KEY, "Ada", "Lovelace", "Traceback"):
        assert hidden not in caplog.text
    async with client.session.get(client.base_url + "/metrics") as answer:
        assert 'bridge_received_total{became="unreadable",source="-"} 1.0' in await answer.text()
