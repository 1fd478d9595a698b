"""The words of traces. Nothing of OpenTelemetry is in here: where nobody wants traces, the tracer is None.

What a span says are names from the configuration, ids of the ledger and words of ours: no learner, no secret, no free text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

import structlog

About = Mapping[str, str | int | None]
"""What a span says; what is None is left out."""


class Span(Protocol):
    """Something that takes time, as a part of a trace.

    Attributes:
        traceparent: by which what follows from it joins its trace (W3C Trace Context); None where it belongs to none.
        ids: what a log line names it by: ``trace_id`` and ``span_id``; empty as above.
    """

    traceparent: str | None
    ids: Mapping[str, str]

    def say(self, about: About) -> None:
        """Add to what it says."""

    def fail(self) -> None:
        """Mark it as failed."""

    def end(self) -> None:
        """It is over: it is sent some time later, by a thread of its own."""


class Tracer(Protocol):
    """Begins spans. It never waits and never raises."""

    def span(self, name: str, kind: Literal["server", "client"], traceparent: str | None, about: About) -> Span:
        """Begin a span in the trace of ``traceparent``; in a new one where that is None or is none."""

    async def close(self) -> None:
        """Send what has ended, for a few seconds at the most."""


of_request: ContextVar[Span | None] = ContextVar("span_of_request", default=None)
"""The span of the request that is being answered."""


@contextmanager
def request(tracer: Tracer, traceparent: str | None) -> Iterator[Span]:
    """Trace what answers a sender's request; log lines within carry its ids."""
    span = tracer.span("receive", "server", traceparent, {})
    token = of_request.set(span)
    try:
        with structlog.contextvars.bound_contextvars(**span.ids):
            yield span
    except BaseException:
        span.fail()
        raise
    finally:
        of_request.reset(token)
        span.end()
