"""HTTP to a target: what every kind of failure means, and what is kept of an exchange."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict

from bridge.contract.errors import AnswerLost, Unreachable
from bridge.contract.outbound import Receipt
from bridge.contract.settings import Rate
from bridge.dispatch.attempt import PatientLimiter, deliver
from bridge.kit.clock import SetClock, SystemClock
from bridge.kit.http import Answer, Exchange, Http, Windows, exchanges
from bridge.kit.sandbox import Emulator

FREE = Windows((), SystemClock())


class Echo(Emulator):
    """Answers what it was sent; counts effects."""

    def __init__(self) -> None:
        super().__init__()
        self.effects = 0
        self.written = 0

    def routes(self):
        return [
            web.route("*", "/echo", self._echo),
            web.route("*", "/moved", self._moved),
            web.route("*", "/half", self._half),
            web.post("/say", self._say),
            web.get("/long", self._long),
        ]

    async def _echo(self, request: web.Request) -> web.Response:
        self.effects += 1
        return web.json_response({"method": request.method, "query": dict(request.query), "body": await request.text()})

    async def _moved(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.query.get("status", "302")), headers={"Location": "/echo"})

    async def _half(self, request: web.Request) -> web.StreamResponse:
        self.effects += 1
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def _long(self, request: web.Request) -> web.StreamResponse:
        size, packed = int(request.query["size"]), "packed" in request.query
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if packed else {})
        if "sized" in request.query:
            response.content_length = size
        await response.prepare(request)
        squeeze = zlib.compressobj(wbits=31)
        part = b"x" * 100_000
        try:
            for _ in range(size // len(part)):
                self.written += len(part)
                await response.write(squeeze.compress(part) if packed else part)
            if packed:
                await response.write(squeeze.flush())
        except ConnectionError:
            pass  # the bridge has seen enough
        return response

    async def _say(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/json")


@pytest.fixture
async def echo():
    async with Echo() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def http(echo: Echo, session: aiohttp.ClientSession) -> Http:
    return Http(echo.base_url, FREE, 6.0, session)


@pytest.fixture
def story():
    told: list[Exchange] = []
    token = exchanges.set(told)
    yield told
    exchanges.reset(token)


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_is_returned_whatever_its_status(http: Http, echo: Echo, method: str) -> None:
    """What it means is the connector's table."""
    answer = await http.send(method, "/echo", params={"a": "1 &2"})
    assert answer.ok
    assert answer.json["query"] == {"a": "1 &2"}
    echo.now_fails("status", status=418, body={"short": "and stout"})
    answer = await http.send(method, "/echo")
    assert (answer.status, answer.ok, answer.json) == (418, False, {"short": "and stout"})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reused", [False, True])
async def test_a_cut_connection_is_a_lost_answer_and_no_second_request(
    http: Http, echo: Echo, method: str, reused: bool
) -> None:
    """Also on a connection that was kept open, where HTTP clients like to try again by themselves."""
    if reused:
        await http.send("GET", "/echo")
    seen = len(echo.journal)
    echo.now_fails("cut")
    with pytest.raises(AnswerLost, match="broke before the answer"):
        await http.send(method, "/echo")
    assert len(echo.journal) == seen + 1


@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_lost_after_the_effect(http: Http, echo: Echo, method: str) -> None:
    """One effect, one request, and nobody claims to know more."""
    echo.now_fails("lost")
    with pytest.raises(AnswerLost):
        await http.send(method, "/echo")
    assert echo.effects == 1
    assert len(echo.journal) == 1


async def test_half_an_answer_is_a_lost_answer(http: Http, echo: Echo) -> None:
    """A status line alone proves nothing."""
    with pytest.raises(AnswerLost):
        await http.send("POST", "/half", json={})
    assert echo.effects == 1


async def test_a_target_that_is_too_slow_is_a_lost_answer(echo: Echo, session: aiohttp.ClientSession) -> None:
    """It may still be at it."""
    http = Http(echo.base_url, FREE, 0.2, session)
    echo.now_fails("delay", seconds=20)
    started = time.monotonic()
    with pytest.raises(AnswerLost, match="no answer within the time limit"):
        await http.send("POST", "/echo", json={})
    assert time.monotonic() - started < 15


async def test_a_delay_within_the_limit_is_only_slow(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """And is told with the time it took."""
    echo.now_fails("delay", seconds=0.1)
    assert (await http.send("POST", "/echo", json={})).ok
    assert 90 <= story[0].ms < 1_500


@pytest.mark.parametrize("how", [{}, {"sized": "1"}, {"packed": "1"}])
async def test_an_endless_answer_is_given_up_after_four_megabytes(
    session: aiohttp.ClientSession, echo: Echo, story: list[Exchange], how: dict[str, str]
) -> None:
    """With a length, without one, or unfolding from little; the effect is unknown and the connection ends."""
    http = Http(echo.base_url, FREE, 60.0, session)  # packing that much takes a busy machine a while
    tracemalloc.start()
    try:
        with pytest.raises(AnswerLost, match="the answer is longer than 4 MB"):
            await http.send("GET", "/long", params={"size": "200000000", **how})
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < 40_000_000
    finally:
        tracemalloc.stop()
    assert story[0].fault == "the answer is longer than 4 MB"
    if "packed" not in how:  # there the rest fits into the buffers of the sockets
        assert echo.written < 100_000_000
    assert (await http.send("GET", "/echo")).ok


@pytest.mark.parametrize("how", [{}, {"sized": "1"}, {"packed": "1"}])
async def test_a_long_answer_within_the_limit_is_whole(http: Http, how: dict[str, str]) -> None:
    """And leaves its connection to the next request."""
    answer = await http.send("GET", "/long", params={"size": "4000000", **how})
    assert answer.body == b"x" * 4_000_000


async def test_garbage_is_an_answer_without_json(http: Http, echo: Echo) -> None:
    """A proxy's page has a status and a text."""
    echo.now_fails("garbage")
    answer = await http.send("POST", "/echo", json={})
    assert (answer.status, answer.json) == (200, None)
    assert "502 Bad Gateway" in answer.text


async def test_a_refused_port_surely_had_no_effect(session: aiohttp.ClientSession) -> None:
    """Nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        http = Http(f"http://127.0.0.1:{reserved.getsockname()[1]}", FREE, 2.0, session)
        with pytest.raises(Unreachable, match="no connection: Connection refused"):
            await http.send("POST", "/echo", json={})


async def test_a_name_that_nobody_knows_surely_had_no_effect(session: aiohttp.ClientSession) -> None:
    """The top-level domain is reserved for that."""
    http = Http("http://nobody.invalid", FREE, 2.0, session)
    with pytest.raises(Unreachable, match="no connection"):
        await http.send("GET", "/echo")


async def test_a_network_that_swallows_everything_surely_had_no_effect(session: aiohttp.ClientSession) -> None:
    """A connection that is never accepted ends at half the limit, so that it is told from an answer that never comes."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        queued = [socket.socket() for _ in range(8)]
        for one in queued:  # fills the queue of connections: the kernel drops what comes after
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        http = Http(f"http://127.0.0.1:{deaf.getsockname()[1]}", FREE, 0.6, session)
        with pytest.raises(Unreachable, match="no connection within the time limit"):
            await http.send("POST", "/echo", json={})
        for one in queued:
            one.close()


async def test_tls_that_never_begins_surely_had_no_effect(echo: Echo, session: aiohttp.ClientSession) -> None:
    """A server that listens and says nothing; and one that does not speak TLS."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        http = Http(f"https://127.0.0.1:{silent.getsockname()[1]}", FREE, 0.6, session)
        with pytest.raises(Unreachable, match="no connection within the time limit"):
            await http.send("POST", "/echo", json={})
    plain = Http(echo.base_url.replace("http:", "https:"), FREE, 2.0, session)
    with pytest.raises(Unreachable, match="TLS failed"):
        await plain.send("POST", "/echo", json={})
    assert echo.effects == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(http: Http, echo: Echo, status: int) -> None:
    """They would carry credentials and turn a POST into something else."""
    answer = await http.send("POST", "/moved", json={}, params={"status": str(status)})
    assert answer.status == status
    assert echo.effects == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("999999999", 86_400.0),
        ("", None),
        ("-3", None),
        ("soon", None),
        ("nan", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    """At most a day; what can't be read, or lies in the past, is none."""
    assert Answer(429, CIMultiDict({"retry-after": header}), b"").retry_after == seconds


def test_retry_after_as_a_date() -> None:
    """The other form."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    seconds = Answer(503, CIMultiDict({"Retry-After": at}), b"").retry_after
    assert seconds is not None
    assert 85 < seconds <= 90


async def test_the_record_of_an_exchange(http: Http, story: list[Exchange]) -> None:
    """Method, address, what was sent, what came back and how long it took; masked by field and by form."""
    await http.send(
        "POST",
        "/echo",
        json={"api_key": "s3cret-key", "email": "ada@example.org", "course": 42},
        params={"token": "s3cret-token", "page": "1"},
        headers={"Authorization": "Bearer s3cret-bearer"},
    )
    (exchange,) = story
    assert (exchange.method, exchange.status, exchange.fault) == ("POST", 200, None)
    assert exchange.url.endswith("/echo?token=•••&page=1")
    assert exchange.sent == {"api_key": "•••", "email": "•••", "course": 42}
    assert exchange.answer["method"] == "POST"
    kept = orjson.dumps(exchange).decode()
    assert "s3cret" not in kept
    assert "ada@" not in kept


async def test_the_record_of_a_form(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """Sent as a form, told by its fields."""
    await http.send("POST", "/echo", form={"secret": "s3cret", "course_id": "42"})
    assert echo.journal[0].body == b"secret=s3cret&course_id=42"
    assert story[0].sent == {"secret": "•••", "course_id": "42"}
    assert "s3cret" not in orjson.dumps(story[0]).decode()


async def test_content_goes_out_byte_for_byte(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """What a sender wants back as it sent it must not be written anew; the record masks it all the same."""
    raw = b"cmd=x&name=Zo%eb&token=s3cret&a=%2b+%2B"
    await http.send("POST", "/echo", content=raw, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert echo.journal[0].body == raw
    assert echo.journal[0].headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "s3cret" not in orjson.dumps(story[0]).decode()


async def test_the_record_of_a_failure(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """No status, and why."""
    echo.now_fails("cut")
    with pytest.raises(AnswerLost) as lost:
        await http.send("POST", "/echo", json={})
    await echo.stop()
    with pytest.raises(Unreachable) as refused:
        await http.send("POST", "/echo", json={})
    assert [(one.status, one.fault) for one in story] == [(None, str(lost.value)), (None, str(refused.value))]


async def test_the_record_of_a_request_that_was_given_up(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """The deadline struck."""
    echo.now_fails("delay", seconds=0.5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http.send("POST", "/echo", json={}), 0.1)
    assert (story[0].status, story[0].fault) == (None, "given up at the deadline")


@pytest.mark.parametrize("size", [1_000, 30_000, 200_000])
async def test_the_record_of_a_large_body_is_short(http: Http, story: list[Exchange], size: int) -> None:
    """And hides as much as that of a small one."""
    people = [{"firstname": "Lovelace", "email": "ada@example.org", "n": n} for n in range(size // 50)]
    await http.send("POST", "/say", json=people)
    kept = orjson.dumps(story[0]).decode()
    assert len(kept) < 12_000
    assert "Lovelace" not in kept
    assert "ada@" not in kept


async def test_the_record_of_a_hostile_answer(http: Http, echo: Echo, story: list[Exchange]) -> None:
    """Nested deeper than anybody reads."""
    for body in ("[" * 1_000 + "]" * 1_000, '{"a":' * 900 + "1" + "}" * 900):
        echo.now_fails("status", times=1, status=200, body=body)
        assert (await http.send("POST", "/echo", json={})).ok
    assert json.loads(orjson.dumps(story))


@pytest.mark.parametrize(
    "body", ["x" * 10_000 + "@example.org", "ada.lovelace@example.org " * 500, "token=" + "t" * 5_000]
)
async def test_the_record_of_a_long_text(http: Http, echo: Echo, story: list[Exchange], body: str) -> None:
    """Masked, then cut."""
    echo.now_fails("status", status=500, body=body)
    await http.send("POST", "/echo", json={})
    assert len(story[0].answer) <= 2_000
    assert "lovelace" not in story[0].answer
    assert "ttttt" not in story[0].answer


async def test_nothing_is_kept_outside_an_attempt(http: Http) -> None:
    """A probe tells no story."""
    assert (await http.send("GET", "/echo")).ok
    assert exchanges.get() is None


@pytest.mark.parametrize(
    ("text", "count"),
    [("17", 17), (" 17 ", 17), ("0", 0), ("", None), ("-1", None), ("1.5", None), ("²", None), ("9" * 5_000, None)],
)
def test_a_header_that_is_no_sensible_number_counts_for_nothing(text: str, count: int | None) -> None:
    """It is read after a write has been made, and must not make a failure of that."""
    assert Answer(200, {"X-Left": text}, b"").count("X-Left") == count
    assert Answer(200, {}, b"").count("X-Left") is None


async def test_of_a_long_list_the_first_members_are_kept(echo: Echo, session: aiohttp.ClientSession) -> None:
    """A batch of a hundred is not read to its end by anybody; how much more there was is told."""
    http = Http(echo.base_url, FREE, 2.0, session)
    story: list[Exchange] = []
    token = exchanges.set(story)
    try:
        await http.send("POST", "/echo", json={"inputs": [{"place": n, "note": "x" * 60} for n in range(100)]})
        await http.send("POST", "/echo", json={"inputs": list(range(100))})
    finally:
        exchanges.reset(token)
    assert '{"place":9,' in story[0].sent
    assert '{"place":10,' not in story[0].sent
    assert "and 90 more" in story[0].sent
    assert story[1].sent == {"inputs": list(range(100))}, "a short body is kept whole"


async def test_a_token_is_taken_for_every_request(echo: Echo, session: aiohttp.ClientSession) -> None:
    """Also for one that fails; and it is given back when there is an answer, or none will come."""
    taken, given_back = [], []

    class Counting:
        async def take(self) -> None:
            taken.append(len(echo.journal))

        def answered(self) -> None:
            given_back.append(len(echo.journal))

        def learn(self, rate: Rate, remaining: int | None) -> None:
            raise AssertionError(rate, remaining)

    http = Http(echo.base_url, Counting(), 2.0, session)
    echo.now_fails("cut", after=1, times=1)
    await http.send("GET", "/echo")
    with pytest.raises(AnswerLost):
        await http.send("GET", "/echo")
    await http.send("GET", "/echo")
    assert taken == [0, 1, 2]
    assert given_back == [1, 2, 3]


async def spend(windows: Windows, count: int) -> list[float]:
    started = time.monotonic()
    times = []

    async def one() -> None:
        await windows.take()
        times.append(time.monotonic() - started)
        windows.answered()

    await asyncio.gather(*(one() for _ in range(count)))
    return times


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(1 for other in times if at <= other < at + seconds - 0.002) for at in times)


async def test_a_window_is_never_overrun() -> None:
    """A burst first, then as the window frees."""
    times = await spend(Windows([Rate(5, 0.2)], SystemClock()), 17)
    assert most_within(times, 0.2) <= 5
    assert times[4] < 0.1
    assert 0.55 < times[-1] < 1.2


async def test_several_windows_hold_at_once() -> None:
    """The short one shapes the burst, the long one the sum."""
    times = await spend(Windows([Rate(3, 0.1), Rate(6, 0.5)], SystemClock()), 13)
    assert most_within(times, 0.1) <= 3
    assert most_within(times, 0.5) <= 6
    assert 0.95 < times[-1] < 1.8


async def test_first_come_first_served() -> None:
    """Nobody is overtaken, however long the queue."""
    windows, order = Windows([Rate(2, 0.05)], SystemClock()), []

    async def one(number: int) -> None:
        await windows.take()
        order.append(number)
        windows.answered()

    await asyncio.gather(*(one(number) for number in range(12)))
    assert order == list(range(12))


async def test_who_gives_up_waiting_takes_no_token() -> None:
    """And those behind him are served in time."""
    windows = Windows([Rate(1, 0.15)], SystemClock())
    await windows.take()
    windows.answered()
    impatient = asyncio.create_task(windows.take())
    await asyncio.sleep(0.02)
    impatient.cancel()
    started = time.monotonic()
    await windows.take()
    assert time.monotonic() - started < 0.25


async def test_a_token_counts_until_its_window_after_the_answer() -> None:
    """The target counts a request when it gets it, which may be just before it answers."""
    clock = SetClock(datetime(2026, 11, 22, tzinfo=UTC))
    windows = Windows([Rate(1, 60.0)], clock)
    await windows.take()
    clock.move(59)  # on its way all this time
    windows.answered()
    clock.move(59)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(windows.take(), 0.05)
    clock.move(1)
    await asyncio.wait_for(windows.take(), 0.5)


async def test_a_token_that_is_out_is_waited_for() -> None:
    """Without an answer nobody knows when the window of the request ends."""
    windows = Windows([Rate(1, 0.05)], SystemClock())
    await windows.take()
    second = asyncio.create_task(windows.take())
    await asyncio.sleep(0.1)
    assert not second.done()
    windows.answered()
    await asyncio.wait_for(second, 1.0)


async def room(windows: Windows) -> int:
    """Count the tokens that can be had at once."""
    found = 0
    while True:
        try:
            await asyncio.wait_for(windows.take(), 0.02)
        except TimeoutError:
            return found
        windows.answered()
        found += 1


async def test_a_target_may_name_a_higher_limit_than_we_guessed() -> None:
    """The default is a polite guess for the smallest plan."""
    windows = Windows([Rate(2, 60.0)], SystemClock())
    windows.learn(Rate(5, 60.0))
    assert await room(windows) == 5


@pytest.mark.parametrize(("named", "left"), [(9, 3), (2, 2)])
async def test_the_operators_limit_can_only_be_lowered(named: int, left: int) -> None:
    """Whoever sets one leaves room for other programs on purpose."""
    windows = Windows([Rate(3, 60.0)], SystemClock(), fixed=True)
    windows.learn(Rate(named, 60.0))
    assert await room(windows) == left


async def test_what_others_used_of_the_targets_limit_is_not_ours_to_use() -> None:
    """Ten are allowed, four are left, two of the six were ours; told twice it is no more."""
    clock = SetClock(datetime(2026, 11, 22, tzinfo=UTC))
    windows = Windows([], clock)
    for _ in range(2):
        windows.learn(Rate(10, 60.0))
        await windows.take()
        windows.answered()
    windows.learn(Rate(10, 60.0), remaining=4)
    windows.learn(Rate(10, 60.0), remaining=4)
    assert await room(windows) == 4
    clock.move(60)
    assert await room(windows) == 10


@pytest.mark.parametrize("named", [Rate(0, 1.0), Rate(-1, 1.0), Rate(10**30, 1.0), Rate(5, 1e9), Rate(5, 0.0)])
async def test_a_limit_that_nobody_can_mean_changes_nothing(named: Rate) -> None:
    """No header of a target makes its lane stand still, or the bridge keep millions of times."""
    windows = Windows([Rate(2, 1.0)], SystemClock())
    windows.learn(named, remaining=0)
    assert await room(windows) == 2


async def test_a_target_that_names_ever_other_windows_is_not_followed() -> None:
    """Each would be looked at before every request."""
    windows = Windows([], SystemClock())
    for seconds in range(1, 1_000):
        windows.learn(Rate(10, float(seconds)), remaining=-5)
    assert len(windows._windows) < 10


async def test_no_window_never_waits() -> None:
    """Loopback targets, and whoever publishes no limit: nobody else has a turn in between."""
    for _ in range(500):
        with pytest.raises(StopIteration):
            FREE.take().send(None)


async def test_windows_go_by_the_clock_they_were_given() -> None:
    """The room comes back when the window has passed, and not before."""
    clock = SetClock(datetime(2026, 11, 22, tzinfo=UTC))
    windows = Windows([Rate(2, 60.0)], clock)
    for _ in range(2):
        await windows.take()
        windows.answered()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(windows.take(), 0.05)
    clock.move(60)
    await asyncio.wait_for(windows.take(), 0.5)


class Sequential:
    """A connector that makes some requests one after the other, or side by side."""

    def __init__(self, http: Http, requests: int, *, together: bool = False) -> None:
        self._http = http
        self._requests = requests
        self._together = together

    async def deliver(self, batch):
        sends = (self._http.send("POST", "/echo", json={}) for _ in range(self._requests))
        if self._together:
            await asyncio.gather(*sends)
        else:
            for send in sends:
                await send
        return [Receipt() for _ in batch]


@pytest.mark.parametrize("together", [False, True])
async def test_the_deadline_stands_still_while_a_request_waits_for_a_token(
    echo: Echo, session: aiohttp.ClientSession, together: bool
) -> None:
    """Six requests at one a tenth of a second take longer than the deadline, and are no outage."""
    http = Http(echo.base_url, PatientLimiter(Windows([Rate(1, 0.1)], SystemClock())), 2.0, session)
    started = time.monotonic()
    outcomes = await deliver(Sequential(http, 6, together=together), [object()], 0.3, [])
    assert outcomes == [Receipt()]
    assert time.monotonic() - started > 0.45


async def test_the_deadline_runs_while_the_target_works(echo: Echo, session: aiohttp.ClientSession) -> None:
    """Waiting for tokens is no way to live for ever."""
    http = Http(echo.base_url, PatientLimiter(Windows([Rate(1, 0.1)], SystemClock())), 2.0, session)
    echo.now_fails("delay", seconds=0.2)
    (outcome,) = await deliver(Sequential(http, 6), [object()], 0.5, story := [])
    assert (outcome.applied, outcome.cause) == ("unknown", "outage")
    assert outcome.why == "not finished within 0.5 s"
    assert 2 <= len(story) <= 4


async def test_a_request_that_outlives_its_attempt_does_no_harm(echo: Echo, session: aiohttp.ClientSession) -> None:
    """It may still wait for a token when the deadline is long gone."""
    http = Http(echo.base_url, PatientLimiter(Windows([Rate(1, 0.1)], SystemClock())), 2.0, session)
    left: list[asyncio.Task] = []

    class Careless:
        async def deliver(self, batch):
            left.extend(asyncio.create_task(http.send("POST", "/echo", json={})) for _ in range(3))
            await left[0]
            return [Receipt()]

    assert await deliver(Careless(), [object()], 5.0, []) == [Receipt()]
    answers = await asyncio.gather(*left)
    assert all(answer.ok for answer in answers)
