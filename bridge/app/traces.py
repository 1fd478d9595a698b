"""Traces by OpenTelemetry: the one place that imports it, itself imported only where traces are wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bridge import __version__
from bridge.kit.tracing import About

_CLOSING = 5.0  # seconds: a collector that is slow must not keep a bridge from stopping
_KINDS = {"server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT}
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_IDS: Mapping[str, str] = {}


class OtelSpan:
    """A span of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        """Wrap one that has begun."""
        self._span = span
        here = span.get_span_context()
        self.traceparent: str | None = None
        self.ids = _NO_IDS
        if here.is_valid:
            trace_id, span_id = trace.format_trace_id(here.trace_id), trace.format_span_id(here.span_id)
            self.traceparent = f"00-{trace_id}-{span_id}-{here.trace_flags:02x}"
            self.ids = {"trace_id": trace_id, "span_id": span_id}

    def say(self, about: About) -> None:
        """Add to what it says."""
        self._span.set_attributes({name: value for name, value in about.items() if value is not None})

    def fail(self) -> None:
        """Mark it as failed."""
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        """Hand it to the batch; of a full one, the oldest is dropped."""
        self._span.end()


class OtelTracer:
    """Sends spans by OTLP over HTTP, from a thread of its own. All settings are the standard ``OTEL_*`` variables."""

    def __init__(self) -> None:
        """Read the environment.

        Raises:
            Exception: OpenTelemetry can't use what stands there.
        """
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "registration-bridge"}))
        # At the interpreter's end it would wait for half a minute; close() is what ends it.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("bridge", __version__)

    def span(self, name: str, kind: Literal["server", "client"], traceparent: str | None, about: About) -> OtelSpan:
        """Begin a span. Of what a sender sends, only ids and the sampling flag are taken over; its ``tracestate`` is not."""
        parent = _PROPAGATOR.extract({"traceparent": traceparent} if traceparent is not None else {})
        said = {name: value for name, value in about.items() if value is not None}
        return OtelSpan(self._tracer.start_span(name, parent, _KINDS[kind], said))

    async def close(self) -> None:
        """Send what has ended, for some seconds at the most; what is left then is lost."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            with suppress(Exception):
                self._provider.shutdown()
            with suppress(RuntimeError):  # the loop did not wait
                loop.call_soon_threadsafe(done.set)

        # Not a thread of the loop's own, for which the loop would wait when it closes.
        threading.Thread(target=end, name="traces:close", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _CLOSING)
