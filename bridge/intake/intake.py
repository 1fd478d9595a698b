"""The way in: normalise, plan, accept. Every source's events pass here, whichever road they came by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import structlog
from pydantic import ValidationError

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import LedgerError, LedgerRefused, PayloadInvalid
from bridge.contract.inbound import Enriches, InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Unreadable
from bridge.intake.accept import accept_found, accept_group, reception
from bridge.intake.blank import stored_body, stored_headers, stored_query, stored_text
from bridge.intake.plan import CommandPlan, plan
from bridge.intake.result import Member, Result, of_kept
from bridge.kit.clock import milliseconds
from bridge.kit.tracing import of_request
from bridge.ledger.events import EventRow
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

SOURCE_LIMIT = 2_500  # events of one source that wait for their commit: about two seconds' worth
_NONE: Mapping[str, str] = {}


class Intake:
    """Takes verified events into the ledger."""

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue]) -> None:
        """Write to ``ledger`` under whatever mapping ``catalogue`` returns at that moment."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._waiting: Counter[str] = Counter()
        self.refused = ""
        """Why the newest event could not be kept, or "": a probe's little write may still fit where an event does not."""

    async def receive(self, source: SourceEntry, adapter: InboundAdapter, event: InboundEvent) -> Reception:
        """Normalise a verified event and keep what it means. When this returns, it is on disk.

        A ledger that can't take it now is told as ``unavailable``: the sender repeats.
        """
        lookups: Sequence[Lookup] = ()
        try:
            meanings = adapter.normalise(event)
            if enriches(type(adapter)):
                lookups = cast("Enriches", adapter).lookups(event)
        except PayloadInvalid as fault:
            return await self._keep_unusable(source, adapter, event, fault)
        except Exception as fault:
            log.exception(
                "intake.adapter_failed",
                source=source.name,
                adapter=source.adapter,
                fault=type(fault).__name__,
            )
            return await self._keep_unusable(
                source, adapter, event, PayloadInvalid({"body": f"not understood ({type(fault).__name__})"})
            )
        commands, faults = understood(meanings, source, event.received_at)
        if faults and not lookups and (adapter.synchronous or len(meanings) == 1):
            return await self._keep_unusable(source, adapter, event, next(iter(faults.values())))
        if not (commands or faults or lookups):
            return Reception("ignored")
        unreadable = {row: str(fault) for row, fault in faults.items()}
        return await self.accept(source, adapter, event, commands, unreadable, lookups)

    async def accept(
        self,
        source: SourceEntry,
        adapter: InboundAdapter,
        event: InboundEvent,
        commands: Sequence[EnrollmentCommand],
        unreadable: Mapping[str, str] = _NONE,
        lookups: Sequence[Lookup] = (),
    ) -> Reception:
        """Keep an event with what it means and what is still to be asked about it.

        The commands say nothing of the future and hold no NUL character (see :func:`understood`).
        """
        catalogue = self._catalogue()
        plans = tuple(plan(command, source, catalogue) for command in commands)
        member = self._member(source, adapter, event, plans, catalogue, "accepted")
        member.unreadable, member.lookups = unreadable, tuple(lookups)
        member.event.event_key = _event_key(plans, lookups)
        try:
            result = await self._kept(member)
        except LedgerRefused as fault:  # told to come again, the sender would come for ever
            log.error("intake.not_kept", source=source.name, fault=str(fault))  # noqa: TRY400 - told where it happened
            return await self._keep_unusable(
                source, adapter, event, PayloadInvalid({"body": "holds what the ledger can't keep"})
            )
        except LedgerError as fault:
            log.warning("intake.unavailable", source=source.name, fault=str(fault))
            return Reception("unavailable")
        answer = reception(result, plans)
        log.info(
            "intake.accepted",
            source=source.name,
            event_id=result.event_id,
            became=answer.kind,
            repeat=result.repeat or None,
            registrations=[line.registration_id for line in answer.lines],
        )
        return answer

    async def _kept(self, member: Member) -> Result:
        """Have a member written. One source may fill a share of the queue only: its flood must not refuse the others.

        Raises:
            LedgerError: it is not on disk.
        """
        source = member.source.name
        if self._waiting[source] >= SOURCE_LIMIT:
            raise LedgerError("too many events of this source are waiting")
        self._waiting[source] += 1
        try:
            result = await self._ledger.submit(accept_group, member)
        except LedgerError as fault:
            self.refused = str(fault)
            raise
        finally:
            self._waiting[source] -= 1
        self.refused = ""
        return result

    async def accept_found(
        self, source: SourceEntry, event_id: int, meanings: Sequence[Meaning], event: InboundEvent, lookup_id: int
    ) -> list[int]:
        """Keep what a lookup found out about an event that is in the ledger, and end the lookup; return the registrations.

        Done twice, it changes nothing the second time.

        Raises:
            LedgerError: it is not on disk.
        """
        commands, faults = understood(meanings, source, event.received_at)
        catalogue = self._catalogue()
        plans = tuple(plan(command, source, catalogue) for command in commands)
        now = milliseconds(event.received_at)
        unreadable = {row: str(fault) for row, fault in faults.items()}
        member = of_kept(source, plans, catalogue, now, unreadable=unreadable)
        result = await self._ledger.submit(accept_found, (member, event_id, lookup_id))
        return [line.registration_id for line in result.lines]

    def _member(
        self,
        source: SourceEntry,
        adapter: InboundAdapter,
        event: InboundEvent,
        plans: tuple[CommandPlan, ...],
        catalogue: Catalogue,
        state: str,
        note: str | None = None,
    ) -> Member:
        body, encoding = stored_body(event, adapter.credential_fields, adapter.credentials())
        now = milliseconds(event.received_at)
        return Member(
            source=source,
            event=EventRow(
                source=source.name,
                adapter=source.adapter,
                event_key=None,
                received_at=now,
                method=event.method,
                path=stored_text(event.path),
                query=stored_query(event, adapter.credential_fields),
                headers=stored_headers(event, adapter.kept_headers),
                body=body,
                encoding=encoding,
                state=state,
                note=note,
            ),
            plans=plans,
            product_url=lambda product: _product_url(catalogue, source.name, product),
            mapping=(catalogue.digest, catalogue.text),
            catalogue=catalogue,
            now=now,
            targets=tuple(catalogue.targets.values()),
            mailer=catalogue.mailer,
            unreadable={"": note or ""} if state == "unreadable" else _NONE,
            traceparent=span.traceparent if (span := of_request.get()) is not None else None,
        )

    async def _keep_unusable(
        self, source: SourceEntry, adapter: InboundAdapter, event: InboundEvent, fault: PayloadInvalid
    ) -> Reception:
        # Also what we refuse is kept: somebody may have paid, and the sender's developer may never read our answer.
        state = "refused" if adapter.synchronous else "unreadable"
        member = self._member(source, adapter, event, (), self._catalogue(), state, str(fault))
        try:
            result = await self._kept(member)
        except LedgerError as trouble:
            log.warning("intake.unavailable", source=source.name, fault=str(trouble))
            return Reception("unavailable")
        log.warning(
            "intake.unusable", source=source.name, event_id=result.event_id, became=state, fields=sorted(fault.faults)
        )
        if not adapter.synchronous:
            return Reception("ignored", event_id=result.event_id)
        return Reception("invalid" if fault.readable else "unreadable", faults=fault.faults, event_id=result.event_id)


def understood(
    meanings: Sequence[Meaning], source: SourceEntry, received_at: datetime
) -> tuple[list[EnrollmentCommand], dict[str, PayloadInvalid]]:
    """Return the commands that are this source's, fit to be kept; and by row what can't be understood.

    Test orders are left out, or, in test mode, everything else. A time in the future becomes the time of receipt.
    """
    commands: list[EnrollmentCommand] = []
    faults: dict[str, PayloadInvalid] = {}
    for place, meaning in enumerate(meanings):
        if isinstance(meaning, Unreadable):
            faults[meaning.row] = PayloadInvalid(meaning.faults)
        elif meaning.livemode is source.test_mode:
            log.info(
                "intake.left_out", source=source.name, why="a test order" if source.test_mode is False else "no test"
            )
        else:
            try:
                commands.append(_without_nul(_clamped(meaning, received_at)))
            except PayloadInvalid as fault:
                faults[str(place)] = fault
    return commands, faults


def _event_key(plans: Sequence[CommandPlan], lookups: Sequence[Lookup]) -> str | None:
    """Return what tells a repeat of the post: the sender's id of it, or, of many occurrences, all their ids together.

    Of the same occurrences in another post, each is decided by its own business key.
    """
    asked = {lookup.event_key: None for lookup in lookups if lookup.event_key is not None}
    keys = list({plan.command.event_key: None for plan in plans} | asked)
    if len(keys) < 2:
        return keys[0] if keys else None
    if None in keys:
        return None
    return hashlib.sha256("\n".join(sorted(cast("list[str]", keys))).encode()).hexdigest()


@cache
def enriches(adapter: type[InboundAdapter]) -> bool:
    """Say whether such an adapter asks the sender what its events mean."""
    return hasattr(adapter, "lookups")  # isinstance with a protocol looks at every member, for every event


def _clamped(command: EnrollmentCommand, received_at: datetime) -> EnrollmentCommand:
    if command.occurred_at <= received_at:
        return command
    return command.model_copy(update={"occurred_at": received_at})


def _without_nul(command: EnrollmentCommand) -> EnrollmentCommand:
    """Leave out NUL characters, which PostgreSQL's text can't hold: a key that loses them on the way is not found again.

    Raises:
        PayloadInvalid: nothing is left of a field that is needed.
    """
    if not _may_hold_nul(command):
        return command
    try:
        return EnrollmentCommand.model_validate(_cleaned(command.model_dump()))
    except ValidationError:
        raise PayloadInvalid({"body": "A field holds nothing but NUL characters."}) from None


def _may_hold_nul(command: EnrollmentCommand) -> bool:
    learner, order = command.learner, command.order
    texts = [
        command.event_key,
        command.business_key,
        *(text for item in command.items for text in (item.remote_product_id, item.line)),
    ]
    if learner is not None:
        texts += [learner.remote_user_id, learner.email, learner.first_name, learner.last_name, learner.phone]
        texts += [text for pair in learner.attributes.items() for text in pair]
    texts += [order.number, order.transaction_id, order.subscription_id, *order.refs]
    return any(text is not None and "\0" in text for text in texts)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(item) for name, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value


def _product_url(catalogue: Catalogue, source: str, product_id: str) -> str | None:
    product = catalogue.products.get((source, product_id))
    if product is None:
        return None
    courses = [catalogue.courses[key] for key in product.courses]
    return product.product_url or next((course.product_url for course in courses), None)
