"""A stand-in of a collector: takes OTLP over HTTP as any collector does, and can be slow or talk nonsense."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.acceptance.rig import free_port

MOODS = Literal["well", "failing", "garbage", "silent"]


@dataclass(slots=True)
class Told:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    about: dict[str, str | int]
    failed: bool


@dataclass(slots=True)
class Collector:
    mood: MOODS = "well"
    url: str = ""
    calls: int = 0
    spans: list[Told] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def named(self, beginning: str) -> list[Told]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    async def take(self, request: web.Request) -> web.Response:
        self.calls += 1
        body = await request.read()
        if self.mood == "failing":
            return web.Response(status=503)
        if self.mood == "garbage":
            return web.Response(status=200, body=b"\xff\x00no protobuf", headers={"Retry-After": "soon"})
        if self.mood == "silent":
            await self.over.wait()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body)
        self._read(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def _read(self, sent: ExportTraceServiceRequest) -> None:
        for resource in sent.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                about = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(Told(span.name, *ids, about, failed=span.status.code == 2))


@asynccontextmanager
async def collecting(mood: MOODS = "well"):
    """Run a collector on loopback."""
    collector, app, port = Collector(mood), web.Application(), free_port()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    collector.url = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        collector.over.set()
        await runner.cleanup()
