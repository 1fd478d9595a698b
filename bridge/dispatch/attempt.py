"""One call of a connector under its deadline, whatever happens in it: always one outcome per piece of work."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import structlog

from bridge.contract.errors import AnswerLost, TransportFault, Unreachable
from bridge.contract.outbound import NeedsOperator, OutboundConnector, Outcome, Receipt, Refused, TryLater, Work
from bridge.contract.settings import Rate
from bridge.kit.http import Exchange, Limiter, Windows, exchanges
from bridge.kit.masking import Hidden, spellings, veil, veil_value, whole

log = structlog.get_logger(__name__)

_OUTCOMES = get_args(Outcome)


class Deadline:
    """Time for the work itself: while a request waits for a rate token, the clock stands still.

    A request that the connector left behind may outlive its attempt; there is no deadline left for it to move then.
    """

    def __init__(self, timeout: asyncio.Timeout) -> None:
        """Govern ``timeout``."""
        self._timeout = timeout
        self._waiting = 0
        self._left = 0.0

    def stop(self) -> None:
        """Stand still; calls nest, for requests that wait side by side."""
        self._waiting += 1
        if self._waiting == 1:
            self._left = (self._timeout.when() or 0.0) - asyncio.get_running_loop().time()
            self._set(None)

    def go_on(self) -> None:
        """Go on with the time that was left, once nobody waits any more."""
        self._waiting -= 1
        if self._waiting == 0:
            self._set(asyncio.get_running_loop().time() + self._left)

    def _set(self, when: float | None) -> None:
        with suppress(RuntimeError):  # it has struck, or the attempt is over
            self._timeout.reschedule(when)


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class PatientLimiter:
    """A limiter whose waiting does not count against the deadline of the attempt."""

    def __init__(self, limiter: Limiter) -> None:
        """Take tokens from ``limiter``."""
        self._limiter = limiter

    async def take(self) -> None:
        """Wait for a token with the deadline standing still."""
        deadline = _deadline.get()
        if deadline is None or (isinstance(self._limiter, Windows) and self._limiter.endless):
            await self._limiter.take()
            return
        deadline.stop()
        try:
            await self._limiter.take()
        finally:
            deadline.go_on()

    def answered(self) -> None:
        """Pass it on."""
        self._limiter.answered()

    def learn(self, rate: Rate, remaining: int | None) -> None:
        """Pass it on."""
        self._limiter.learn(rate, remaining)


async def deliver(
    connector: OutboundConnector, batch: Sequence[Work], seconds: float, story: list[Exchange]
) -> list[Outcome]:
    """Deliver a batch within ``seconds`` and return one outcome per piece; exchanges are noted in ``story``.

    Raises:
        asyncio.CancelledError: the attempt itself was cancelled. Nothing else of a connector's escapes.
    """
    token = exchanges.set(story)
    try:
        async with asyncio.timeout(seconds) as timeout:
            _deadline.set(Deadline(timeout))
            return _one_each(await connector.deliver(batch), batch)
    except Unreachable as fault:
        # This request had no effect; an earlier one of the same attempt may have had one.
        applied: Literal["no", "unknown"] = "unknown" if _written(story) else "no"
        return [TryLater(str(fault), applied=applied, cause="outage")] * len(batch)
    except AnswerLost as fault:
        return [TryLater(str(fault), applied="unknown", cause="outage")] * len(batch)
    except TimeoutError:
        return [TryLater(f"not finished within {seconds:g} s", applied="unknown", cause="outage")] * len(batch)
    except asyncio.CancelledError as fault:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        return _failed(fault, batch)  # nobody cancelled us: it slipped out of the connector
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as fault:  # noqa: BLE001 - whatever a connector does, its lane lives on; a library of its may panic
        return _failed(fault, batch)
    finally:
        exchanges.reset(token)
        _deadline.set(None)


def veiled(outcomes: Sequence[Outcome], batch: Sequence[Work], secrets: Hidden) -> Sequence[Outcome]:
    """Blank the learners' data and the target's secrets in the words of outcomes, whoever quoted them back.

    Args:
        outcomes: returned with their ``why`` or ``note`` veiled; remedies are the connector's own words.
        batch: whose learners' data is hidden; ``remote_user_id`` is not, operators look people up by it.
        secrets: spellings of the target's secrets.
    """
    if all(isinstance(outcome, Receipt) and outcome.note == "" for outcome in outcomes):
        return outcomes
    hidden = secrets + spellings(_personal(batch))
    seen: dict[str, str] = {}  # the outcomes of a batch are often worded alike
    return [_reworded(outcome, hidden, seen) for outcome in outcomes]


def veil_story(story: Iterable[Exchange], batch: Sequence[Work], secrets: Hidden) -> None:
    """Blank the same in what was sent and answered; ``story`` is changed in place."""
    hidden = secrets + spellings(_personal(batch))
    for exchange in story:
        exchange.url = veil(exchange.url, hidden)
        exchange.sent = veil_value(exchange.sent, hidden)
        exchange.answer = veil_value(exchange.answer, hidden)


def _personal(batch: Iterable[Work]) -> Iterator[str]:
    for work in batch:
        learner = work.learner
        yield learner.first_name
        yield learner.last_name
        if learner.email:
            yield learner.email
        if learner.phone:
            yield learner.phone
            yield "".join(sign for sign in learner.phone if sign.isdigit())
        for value in learner.attributes.values():
            if value != learner.remote_user_id:
                yield value
        if work.notice is not None:
            yield work.notice.recipient


def _reworded(outcome: Outcome, hidden: Hidden, seen: dict[str, str]) -> Outcome:
    if isinstance(outcome, Receipt):
        note = _once_veiled(outcome.note, hidden, seen)
        return outcome if note == outcome.note else replace(outcome, note=note)
    if isinstance(outcome, TryLater | NeedsOperator | Refused):
        why = _once_veiled(outcome.why, hidden, seen)
        return outcome if why == outcome.why else replace(outcome, why=why)
    return outcome


def _once_veiled(text: Any, hidden: Hidden, seen: dict[str, str]) -> Any:
    if not isinstance(text, str):
        return text  # a connector's defect, which settling reports
    if text not in seen:
        seen[text] = veil(whole(text), hidden)
    return seen[text]


def _written(story: Iterable[Exchange]) -> list[int]:
    """Return the statuses of the writes of an attempt that were answered."""
    return [one.status for one in story if one.status is not None and one.method not in ("GET", "HEAD")]


def took_something(story: Iterable[Exchange]) -> bool:
    """Say whether the target took a write of the attempt."""
    return any(status < 300 for status in _written(story))


def where(fault: BaseException) -> list[str]:
    """Return the innermost places a fault came through, for a log: its message may quote learner data, these don't."""
    frames = traceback.extract_tb(fault.__traceback__)[-4:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _failed(fault: BaseException, batch: Sequence[Work]) -> list[Outcome]:
    name = type(fault).__name__
    if isinstance(fault, BaseExceptionGroup) and fault.split(TransportFault)[1] is None:
        # Requests made side by side: some of the others may have had their effect.
        return [TryLater(str(fault.exceptions[0]), applied="unknown", cause="outage")] * len(batch)
    log.error(
        "dispatch.connector_failed", fault=name, where=where(fault), deliveries=[work.delivery_id for work in batch]
    )
    remedy = "A defect of the connector: the log says where. Have it mended, then requeue the delivery."
    return [NeedsOperator(f"the connector failed: {name}", remedy)] * len(batch)


def _one_each(outcomes: Sequence[Outcome], batch: Sequence[Work]) -> list[Outcome]:
    if len(outcomes) != len(batch):
        raise ValueError(f"{len(outcomes)} outcomes for {len(batch)} pieces of work")
    if strange := [type(outcome).__name__ for outcome in outcomes if not isinstance(outcome, _OUTCOMES)]:
        raise TypeError(f"{strange[0]} is no outcome")
    return list(outcomes)
