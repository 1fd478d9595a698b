"""The spans of one call of a connector: one for each of its deliveries, each in the trace of the request behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog

from bridge.contract.outbound import Outcome, Work
from bridge.dispatch.settle import name_of
from bridge.dispatch.settler import ids
from bridge.kit.tracing import Span, Tracer
from bridge.ledger.claimed import Claimed

_GOOD = ("receipt", "pending")


class Attempts:
    """The attempts that one call makes. Without a tracer every method does nothing."""

    def __init__(self, tracer: Tracer | None, target: str, batch: Sequence[tuple[Claimed, Work]]) -> None:
        """Begin them: now."""
        self._spans: list[Span] = []
        if tracer is not None:
            self._spans = [_begun(tracer, target, claimed, work) for claimed, work in batch]

    def together(self) -> AbstractContextManager[object]:
        """Have log lines carry the attempt's ids, where the call makes one attempt only."""
        return self.one(0) if len(self._spans) == 1 else nullcontext()

    def one(self, place: int) -> AbstractContextManager[object]:
        """Have log lines carry the ids of the attempt at this place of the batch."""
        return structlog.contextvars.bound_contextvars(**self._spans[place].ids) if self._spans else nullcontext()

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        """End all of them: now."""
        if self._spans:
            for span, outcome in zip(self._spans, outcomes, strict=True):
                name = name_of(outcome)
                span.say({"bridge.outcome": name})
                if name not in _GOOD:
                    span.fail()
                span.end()


def _begun(tracer: Tracer, target: str, claimed: Claimed, work: Work) -> Span:
    about = {f"bridge.{name}": value for name, value in ids(claimed).items()}
    operation = work.operation.value
    said = {"bridge.target": target, "bridge.operation": operation, "bridge.attempt": work.attempt, **about}
    return tracer.span(f"attempt {operation}", "client", claimed.delivery.traceparent, said)
