"""Where senders call: the addresses that a protocol prescribes, and ``/in/{source}`` for every configured source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC
from difflib import get_close_matches
from functools import cache
from typing import cast

import orjson
import structlog
from aiohttp import web

from bridge.contract.errors import AnswerLost, PayloadInvalid, SignatureInvalid, TransportFault
from bridge.contract.inbound import Handshakes, InboundAdapter, InboundEvent, Reception, Response, Verifies
from bridge.edge.sources import Source, Sources
from bridge.edge.telemetry import Telemetry
from bridge.intake.intake import Intake
from bridge.kit import tracing
from bridge.kit.clock import Clock
from bridge.kit.tracing import Tracer

log = structlog.get_logger(__name__)

_BODY_SECONDS = 30.0
_PROOF_SECONDS = 20.0
_AFTER_STILLNESS = 2  # seconds
_NOBODY = "-"
_NOT_KEPT = frozenset({"invalid", "unreadable", "too_large", "method_not_allowed"})
_LONGEST_NAME = 100  # of what is compared with the sources' names


class Webhooks:
    """Takes calls of senders to the intake, and its word back to them."""

    def __init__(
        self,
        intake: Intake,
        sources: Callable[[], Sources],
        telemetry: Telemetry,
        clock: Clock,
        max_body: int,
        tracer: Tracer | None = None,
    ) -> None:
        """Answer with what ``intake`` says. Bodies over ``max_body`` bytes are not read; None: nothing is traced."""
        self._intake = intake
        self._sources = sources
        self._telemetry = telemetry
        self._clock = clock
        self._max_body = max_body
        self._tracer = tracer
        self.stood_still: Callable[[], bool] = lambda: False
        """Whether a call may have waited here for longer than its sender did: it is told to come again."""

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register every address; with and without a trailing slash, because a redirect would turn a POST into a GET."""
        for adapter in self._sources().adapters():
            for route in adapter.routes:
                self._add(router, route.path, self._fixed(adapter, route.methods))
        self._add(router, "/in/{source}", self._named)

    async def late(self, request: web.Request) -> web.Response | None:
        """Answer where a protocol prescribes the address and its first source came with a reload; None elsewhere."""
        for adapter in self._sources().adapters():
            for route in adapter.routes:
                if request.path in (route.path, route.path + "/"):
                    return await self._receive(request, adapter, route.methods, None)
        return None

    @staticmethod
    def _add(router: web.UrlDispatcher, path: str, handler: Callable[[web.Request], object]) -> None:
        for spelling in (path, path + "/"):
            router.add_route("*", spelling, handler)  # type: ignore[arg-type]

    def _fixed(self, adapter: type[InboundAdapter], methods: tuple[str, ...]) -> Callable[[web.Request], object]:
        async def handle(request: web.Request) -> web.Response:
            return await self._receive(request, adapter, methods, None)

        return handle

    async def _named(self, request: web.Request) -> web.Response:
        source = self._sources().by_name.get(request.match_info["source"])
        if source is None:
            self._telemetry.answered(_NOBODY, "no_such_address", 0.0)
            # What was asked for may be a key that was pasted to the wrong place: only names of ours are told.
            nearest = get_close_matches(request.match_info["source"][:_LONGEST_NAME], self._sources().by_name, 1)
            log.warning("edge.no_such_source", nearest=nearest[0] if nearest else None)
            return web.json_response({"error": "no such source"}, status=404)
        adapter = type(source.adapter)
        return await self._receive(request, adapter, tuple(adapter.methods), source)

    async def _receive(
        self, request: web.Request, adapter: type[InboundAdapter], methods: tuple[str, ...], source: Source | None
    ) -> web.Response:
        if self._tracer is None:
            return await self._answer(request, adapter, methods, source)
        with tracing.request(self._tracer, request.headers.get("traceparent")) as span:
            answer = await self._answer(request, adapter, methods, source)
            span.say({"http.response.status_code": answer.status})
            return answer

    async def _answer(
        self, request: web.Request, adapter: type[InboundAdapter], methods: tuple[str, ...], source: Source | None
    ) -> web.Response:
        started = time.perf_counter()
        if request.method == "HEAD" and "GET" in methods:
            return web.Response()  # a link checker's or mail client's look: no effect
        body = await self._body(request) if request.method in methods else Reception("method_not_allowed")
        if self.stood_still():
            body = Reception("unavailable", retry_after=_AFTER_STILLNESS)
        if isinstance(body, Reception):
            reception, event = body, self._event(request, b"")
            if reception.kind == "unreadable" and not adapter.synchronous:
                reception = Reception("unavailable")  # it did not arrive: the sender sends it again
        else:
            event = self._event(request, body)
            if source is not None and (hand := _handshake(source, event)) is not None:
                self._tell(source, "handshake", None, started)
                return _web_response(hand)
            source, reception = await self._taken(adapter, event, source)
        if reception.kind in _NOT_KEPT and reception.event_id is None:
            _not_kept(event, source, reception)
        self._tell(source, reception.kind, reception.event_id, started)
        answer = _web_response(adapter.respond(event, reception))
        if reception.kind == "method_not_allowed":
            answer.headers["Allow"] = ", ".join(methods)
        return answer

    def _tell(self, source: Source | None, became: str, event_id: int | None, started: float) -> None:
        """Count the call and, where it is traced, say in its span what became of it."""
        name = source.entry.name if source is not None else _NOBODY
        self._telemetry.answered(name, became, time.perf_counter() - started)
        if (span := tracing.of_request.get()) is not None:
            span.say(
                {
                    "bridge.source": name,
                    "bridge.adapter": source.entry.adapter if source is not None else None,
                    "bridge.became": became,
                    "bridge.event_id": event_id,
                }
            )
            if became == "unavailable":
                span.fail()

    async def _taken(
        self, adapter: type[InboundAdapter], event: InboundEvent, source: Source | None
    ) -> tuple[Source | None, Reception]:
        """Find the source, verify, and hand over. Nothing unauthenticated goes further than this."""
        try:
            if source is None:
                source = self._sources().found(adapter, adapter.credential(event))
            if source is None:
                return None, _unauthorised(event, None, "no source has this key")
            source.adapter.verify(event)
            if _is(type(source.adapter), Verifies):
                await _verified_afar(source, event)
        except TransportFault as fault:
            log.warning(
                "edge.unverified", path=event.path, source=source.entry.name if source else None, why=str(fault)
            )
            return source, Reception("unavailable", retry_after=30)
        except SignatureInvalid as fault:
            return source, _unauthorised(event, source, str(fault))
        except PayloadInvalid as fault:
            if not adapter.synchronous:  # 200 would say that it is kept, and nothing is that is not proven
                return source, _unauthorised(event, source, str(fault))
            return source, Reception("invalid" if fault.readable else "unreadable", faults=fault.faults)
        return source, await self._intake.receive(source.entry, source.adapter, event)

    async def _body(self, request: web.Request) -> bytes | Reception:
        if request.content_length is not None and request.content_length > self._max_body:
            return Reception("too_large")
        if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            return Reception("unreadable", faults={"body": "Compressed request bodies are not taken."})
        try:
            if request.content.is_eof():  # it came along with the head, as nearly all do
                return await request.read()
            async with asyncio.timeout(_BODY_SECONDS):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return Reception("too_large")
        except TimeoutError:
            return Reception(
                "unreadable", faults={"body": f"The request body did not arrive within {_BODY_SECONDS:g} seconds."}
            )

    def _event(self, request: web.Request, body: bytes) -> InboundEvent:
        return InboundEvent(
            method=request.method,
            path=request.path.removesuffix("/"),  # adapters tell by it what is meant
            headers={name.lower(): value for name, value in request.headers.items()},
            query=dict(request.query.items()),  # of a repeated name the last value counts, as in PHP
            body=body,
            received_at=self._clock.now().astimezone(UTC),
        )


@cache
def _is(kind: type, protocol: type) -> bool:
    return issubclass(kind, protocol)  # a protocol looks at every member each time; the kinds are few


async def _verified_afar(source: Source, event: InboundEvent) -> None:
    if source.http is None:  # its settings are no CallsOut: a defect of the adapter, which must let nobody in
        raise SignatureInvalid("there is nothing to verify it through")
    try:
        async with asyncio.timeout(_PROOF_SECONDS):  # a flood of calls waits for rate tokens, and not for ever
            await cast("Verifies", source.adapter).verify_afar(event, source.http)
    except TimeoutError:
        raise AnswerLost("the proof did not come in time") from None


def _handshake(source: Source, event: InboundEvent) -> Response | None:
    if not _is(type(source.adapter), Handshakes):
        return None
    return cast("Handshakes", source.adapter).handshake(event)


def _not_kept(event: InboundEvent, source: Source | None, reception: Reception) -> None:
    # The one text is ours; of the other fields a text may quote what somebody wrote.
    log.warning(
        "edge.not_kept",
        path=event.path,
        method=event.method,
        source=source.entry.name if source else None,
        became=reception.kind,
        why=reception.faults.get("body"),
    )


def _unauthorised(event: InboundEvent, source: Source | None, why: str) -> Reception:
    log.warning("edge.unauthorised", path=event.path, source=source.entry.name if source else None, why=why)
    return Reception("unauthorised")


def _web_response(response: Response) -> web.Response:
    body = response.body if isinstance(response.body, bytes) else orjson.dumps(response.body)
    return web.Response(
        status=response.status, body=body, headers=dict(response.headers), content_type=response.content_type
    )
