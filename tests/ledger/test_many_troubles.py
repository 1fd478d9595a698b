"""The database stops, starts, and cuts connections under running bridges; and one limit holds for all of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from benchmarks import many
from benchmarks.postgresql import Server
from bridge.app import Bridge
from bridge.contract.errors import LedgerError
from bridge.contract.settings import Rate
from bridge.dispatch.returns import Returns
from bridge.dispatch.shared_rate import SharedRate
from bridge.kit.clock import SystemClock
from bridge.kit.http import Windows
from bridge.ledger import claims, watch
from bridge.ledger.claims import ClaimRequest
from bridge.ledger.rates import Ask, Over
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import AMS_KEY, Client, Daemon, configuration, emulators, free_port, live, until
from tests.ledger.rig import World, buy

MINUTE = 60_000
PIDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def server() -> Iterator[Server]:
    """A PostgreSQL that may be stopped."""
    found = Server()
    yield found
    found.end()


@pytest.fixture
async def lms() -> AsyncIterator:
    async with emulators("elevate") as targets:
        yield targets


def _configured(folder: Path, url: str, targets) -> Path:
    path = configuration(folder, targets)
    path.write_text(
        path.read_text()
        .replace(f"sqlite:///{folder}/bridge.db", url)
        .replace("[dispatch]", '[dispatch]\nlease = "4s"\ndeadline = "2s"\nrequest_timeout = "1s"')
    )
    return path


async def test_a_database_that_restarts_needs_nobody_s_help(tmp_path, server: Server, lms):
    """Senders are told 503 and when to come again; then accepting, lanes, jobs and wake-ups go on by themselves."""
    path = _configured(tmp_path, server.url(), lms)
    bridges = [Bridge(load(path, Registry(), env={}).settings) for _ in range(2)]
    for bridge in bridges:
        await bridge.start()
    presences = [bridge.company.presence for bridge in bridges]
    async with aiohttp.ClientSession() as session:
        clients = [Client(f"http://127.0.0.1:{bridge.port}", session) for bridge in bridges]
        for client in clients:
            assert (await client.register("before"))[0] == 200
        await asyncio.to_thread(server.stop, "immediate")
        for client in clients:
            body = {"api_key": AMS_KEY, "remote_user_id": "during", "email": "during@example.org"}
            body |= {"firstname": "A", "lastname": "L", "remote_product_id": "ABCD1234", "amount_paid": "0"}
            async with session.post(f"{client.base_url}/api/registrations", json=body) as answer:
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) > 0
        await until(lambda: all(presence.fenced for presence in presences))
        assert not any(bridge.dispatcher.lanes["elevate"].condition.may_deliver for bridge in bridges)
        await asyncio.to_thread(server.start)
        await until(lambda: not any(presence.fenced for presence in presences), 30)
        for number, client in enumerate(clients):
            assert (await client.register(f"after-{number}"))[0] == 200
        await until(lambda: len(live(lms["elevate"])) == 3, 30)
        await until(lambda: sum(bridge.company.lead.held for bridge in bridges) == 1, 30)
        await until(lambda: server.ask("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN %'") == [(1,)] * 2, 30)
    for bridge in bridges:
        await bridge.stop()


def _posted(url: str, user: str) -> socket.socket:
    """Send a whole registration and read no answer yet."""
    body = {
        "api_key": AMS_KEY,
        "remote_user_id": user,
        "email": f"{user}@example.org",
        "firstname": "A",
        "lastname": "L",
    }
    sent = json.dumps({**body, "remote_product_id": "ABCD1234", "amount_paid": "0"})
    host, port = url.removeprefix("http://").split(":")
    wire = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST /api/registrations HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    wire.sendall(f"{head}Content-Length: {len(sent)}\r\nConnection: close\r\n\r\n{sent}".encode())
    return wire


async def test_a_call_that_waited_in_a_bridge_that_stood_still_is_sent_again(tmp_path, shared_url: str, lms):
    """Its sender may have asked another bridge since, and cancelled there; without an id it would be bought again."""
    bridge = Bridge(load(_configured(tmp_path, shared_url, lms), Registry(), env={}).settings)
    await bridge.start()
    url = f"http://127.0.0.1:{bridge.port}"
    async with aiohttp.ClientSession() as session:
        client = Client(url, session)
        assert (await client.register("before"))[0] == 200
        with closing(_posted(url, "ada")) as wire:
            time.sleep(bridge._stillness._limit + 0.5)  # noqa: ASYNC251, TID251 - the whole process stands still
            answer = await asyncio.to_thread(wire.recv, 65_536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nRetry-After: 2\r\n" in answer
        await until(lambda: not bridge._stillness.woke())
        assert (await client.register("ada"))[0] == 200
        await until(lambda: len(live(lms["elevate"])) == 2, 30)
    await bridge.stop()


async def test_connections_that_are_cut_again_and_again_lose_nothing(tmp_path, shared_url: str, lms):
    """Whatever a backend was doing when it was ended: what was acknowledged arrives, once."""
    bridge = Bridge(load(_configured(tmp_path, shared_url, lms), Registry(), env={}).settings)
    await bridge.start()
    acknowledged = set()
    async with aiohttp.ClientSession() as session:
        client = Client(f"http://127.0.0.1:{bridge.port}", session)
        with closing(psycopg.connect(shared_url, autocommit=True)) as other:
            for number in range(60):
                if number % 5 == 0:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                status, _ = await client.register(f"u{number}")
                assert status in (200, 503)
                if status == 200:
                    acknowledged.add(f"u{number}@example.org")
        assert acknowledged
        await until(lambda: acknowledged <= {person for person, _ in live(lms["elevate"])}, 30)
    assert len(live(lms["elevate"])) == len(set(live(lms["elevate"])))
    await bridge.stop()


async def test_a_database_that_stands_still_is_not_waited_for(tmp_path, shared_url: str, lms, monkeypatch):
    """The connection lives and nothing is answered: senders hear 503 all the same, and it goes on when it goes on."""
    monkeypatch.setattr(watch, "PATIENCE", 1.0)
    bridge = Bridge(load(_configured(tmp_path, shared_url, lms), Registry(), env={}).settings)
    await bridge.start()
    async with aiohttp.ClientSession() as session:
        client = Client(f"http://127.0.0.1:{bridge.port}", session)
        assert (await client.register("before"))[0] == 200
        with closing(psycopg.connect(shared_url, autocommit=True)) as other:
            backends = [row[0] for row in other.execute(PIDS).fetchall()]
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*(client.register(f"during-{number}") for number in range(3)))
            assert {status for status, _ in answers} == {503}
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
        await until(lambda: not bridge.company.presence.fenced, 20)
        assert (await client.register("after"))[0] == 200
        await until(lambda: {"before@example.org", "after@example.org"} <= {who for who, _ in live(lms["elevate"])}, 20)
    await bridge.stop()


async def test_a_bridge_stops_though_the_database_stands_still(tmp_path, shared_url: str):
    """Who restarts it because of that is not kept waiting, nor is a scrape; what it held goes on to others by its heartbeat."""
    path, port = _configured(tmp_path, shared_url, {}), free_port()
    path.write_text(path.read_text().replace("port = 0", f"port = {port}", 1))
    daemon = Daemon(path, port)
    await daemon.start()
    async with aiohttp.ClientSession(daemon.base_url) as session:
        await _scraped(session)
        with closing(psycopg.connect(shared_url, autocommit=True)) as other:
            backends = [row[0] for row in other.execute(PIDS).fetchall()]
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        try:
            await _scraped(session)
            daemon.process.terminate()
            assert await asyncio.wait_for(daemon.process.wait(), 45) == 0
        finally:
            if daemon.process.returncode is None:
                await daemon.kill()
            for pid in backends:
                os.kill(pid, signal.SIGCONT)


async def test_a_claim_that_a_standby_holds_back_comes_back_when_it_appears(server: Server):
    """The connection is cut in a COMMIT that waits for a standby: the lease shows up much later, and nobody works under it."""
    ledger = Ledger(server.url())
    await ledger.open()
    world = World(ledger)
    await world.accept(buy("INTRO"))
    _standby(server, "nobody")
    request = ClaimRequest("lms", 5, "us", world.now, 30_000, by_email=False)
    claiming = asyncio.ensure_future(ledger.submit(claims.claim, request))
    await until(lambda: server.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == [(1,)])
    with closing(
        socket.socket(fileno=os.dup(ledger._writer._transactions._connection.connection.driver_connection.fileno()))
    ) as ours:
        ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LedgerError):
        await claiming
    returns = Returns(ledger, SystemClock())
    returns.doubtful(request.lease)
    assert not await returns.settle()
    assert await world.outbox("lms") == [("id:shop:ada", "open")]
    _standby(server, "")
    await _until(lambda: world.outbox("lms"), [("id:shop:ada", "leased")])
    await _until(returns.settle, True)
    assert await world.outbox("lms") == [("id:shop:ada", "open")]
    assert not await returns.settle()
    assert [one.delivery.person for one in await world.claim("lms")] == ["id:shop:ada"]
    await ledger.close()


def _standby(server: Server, name: str) -> None:
    server.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    server.ask("SELECT pg_reload_conf()")


async def _until(question: Callable[[], Awaitable[Any]], answer: Any) -> None:
    async with asyncio.timeout(15):
        while await question() != answer:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)


async def test_long_work_goes_on_while_its_statements_are_answered(shared_url: str, monkeypatch):
    """A transaction that takes longer than any one answer may is not given up; who waits behind it is told, and comes again."""
    monkeypatch.setattr(watch, "PATIENCE", 1.0)
    ledger = Ledger(shared_url)
    await ledger.open()
    begun = threading.Event()

    def long(unit: Unit) -> str:
        for _ in range(6):
            unit.rows("SELECT 1 FROM pg_sleep(0.4)")
            begun.set()
        return "done"

    working = asyncio.create_task(ledger.write(long))
    await asyncio.to_thread(begun.wait)
    with pytest.raises(LedgerError, match="more than 1 s is under way"):
        await ledger.write(lambda unit: unit.rows("SELECT 1 AS one"))
    assert await working == "done"
    assert len(await ledger.write(lambda unit: unit.rows("SELECT 1 AS one"))) == 1
    with pytest.raises(LedgerError, match="not answered for 1 s"):
        await ledger.write(lambda unit: unit.rows("SELECT 1 FROM pg_sleep(3)"))
    await ledger.close()


async def _scraped(session: aiohttp.ClientSession) -> None:
    async with session.get("/metrics") as answer:
        assert "bridge_fenced" in await answer.text()


async def _ask(world: World, want: int, *over: Over, owner: str = "a", limit: int = 5):
    windows = ((limit, MINUTE), (limit * 100, 60 * MINUTE))
    return await world.ledger.lend(Ask("target lms", owner, windows, want, 1_000, 1_000, over))


async def test_no_more_tokens_are_lent_than_the_limit_has(world: World):
    """What is out counts, what is over counts for the length of the window, what was not used does not count."""
    first = await _ask(world, 3)
    assert (first.tokens, first.wait_ms <= 1) == (3, True)
    second = await _ask(world, 9, owner="b")
    assert second.tokens == 2
    assert (await _ask(world, 1)).tokens == 0
    back = await _ask(world, 1, Over(second.block, 0, 0, 2), owner="b")
    assert back.tokens == 1
    late = await _ask(world, 5, Over(first.block, 3, 0, 0))
    assert late.tokens == 1, "three are over and still in the window"
    assert (await _ask(world, 1)).tokens == 0


async def test_tokens_of_the_past_are_free(world: World):
    """As soon as the last request of them has left the window."""
    block = await _ask(world, 5)
    assert (await _ask(world, 5, Over(block.block, 5, MINUTE + 1_000, 0))).tokens == 5


async def test_tokens_of_a_bridge_that_died_come_back(world: World):
    """It says nothing any more; its requests must be over when they had to begin, and took their longest."""
    windows = ((5, 100),)
    dead = Ask("target lms", "dead", windows, 5, 10, 10)
    assert (await world.ledger.lend(dead)).tokens == 5
    asked = Ask("target lms", "alive", windows, 5, 10, 10)
    got = await world.ledger.lend(asked)
    while not got.tokens:
        await asyncio.sleep(0.02)
        got = await world.ledger.lend(asked)
    assert await world.rows("SELECT owner FROM rate_block") == [("alive",)]


async def test_five_bridges_keep_one_limit(shared_url: str):
    """In no window of the target's are there more requests than it allows, and all of the bridges get some."""
    limit, window, seconds = 25, 1.0, 4.0
    ledgers = [Ledger(shared_url) for _ in range(5)]
    for ledger in ledgers:
        await ledger.open()
    clock, made = SystemClock(), []
    shared = [
        SharedRate(
            "target x", str(n), [Rate(limit, window)], Windows([Rate(limit, window)], clock), ledger.lend, 5, clock
        )
        for n, ledger in enumerate(ledgers)
    ]

    async def send(rate: SharedRate, number: int) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await rate.take()
            made.append((time.monotonic(), number))
            await asyncio.sleep(0.002)
            rate.answered()

    await asyncio.gather(*(send(rate, number) for number, rate in enumerate(shared) for _ in range(4)))
    times = sorted(at for at, _ in made)
    most = max(sum(1 for at in times[n:] if at < begun + window) for n, begun in enumerate(times))
    assert most <= limit
    assert len({number for _, number in made}) == 5
    assert len(made) >= limit * 3
    for rate, ledger in zip(shared, ledgers, strict=True):
        await rate.close()
        await ledger.close()


async def test_a_waiter_who_gives_up_loses_no_token(shared_url: str):
    """A lane that drains cancels who waits; the next one gets what was lent to it."""
    ledger = Ledger(shared_url)
    await ledger.open()
    clock, rate = SystemClock(), Rate(1, 0.3)
    shared = SharedRate("target x", "me", [rate], Windows([], clock), ledger.lend, 1, clock)
    await shared.take()
    waiting = [asyncio.create_task(shared.take()) for _ in range(3)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    shared.answered()
    for _ in itertools.repeat(None, 3):
        async with asyncio.timeout(10):
            await shared.take()
        shared.answered()
    await shared.close()
    await ledger.close()


async def test_three_bridges_in_every_trouble():
    """The scenario of ``make bench ARGS="--many MINUTES"``, for a moment: nobody is lost, nobody is in twice, order holds."""
    said: list[str] = []
    found = await asyncio.to_thread(many.measure, 12.0, said.append, free_port())
    assert found["wrong"] == []
    assert found["people"] > 0
    assert found["troubles"], "something went wrong on purpose"
