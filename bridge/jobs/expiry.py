"""What time brings: changes that were put off take effect, and access whose time is over ends.

That is course by course, and the registration when nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson
import structlog

from bridge.contract.catalogue import Catalogue
from bridge.intake import due, people
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import ageing, learners, outbox, registrations, rights
from bridge.ledger.learners import Known
from bridge.ledger.outbox import right_delivery
from bridge.ledger.states import Intent
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

_AT_ONCE = 200


class Expiry:
    """Looks for changes that are due and for grants that ended, oldest first, a few hundred in one transaction."""

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue], clock: Clock) -> None:
        """Work on ``ledger``; today's catalogue says which CRM targets are told."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._clock = clock

    async def run(self) -> None:
        """Bring to effect what is due and end what is over. Running it twice, or on two machines, does nothing twice.

        Raises:
            LedgerError: the ledger can't take it now; the next run does it.
        """
        now = milliseconds(self._clock.now())
        catalogue = self._catalogue()
        # First: what was cancelled to the end of its period is cancelled then, and has not just expired.
        try:
            await self._take_effect(catalogue, now)
        finally:  # a change that can't be brought to effect keeps nobody in whose time is over
            await self._end(catalogue, now)

    async def _end(self, catalogue: Catalogue, now: int) -> None:
        while (ended := await self._ledger.write(lambda unit: expire(unit, catalogue, now))) == _AT_ONCE:
            log.info("expiry.ended", grants=ended)
        if ended:
            log.info("expiry.ended", grants=ended)

    async def _take_effect(self, catalogue: Catalogue, now: int) -> None:
        changes = _AT_ONCE
        while changes == _AT_ONCE:
            changes = await self._ledger.write(lambda unit: due.take_effect(unit, catalogue, now, _AT_ONCE))
            if changes:
                log.info("expiry.took_effect", changes=changes)


def expire(unit: Unit, catalogue: Catalogue, now: int) -> int:
    """End grants whose time is over; return how many."""
    over = ageing.ended_grants(unit, now, _AT_ONCE)
    if not over:
        return 0
    # Held, with their learners: somebody may be renewing one of them through another bridge.
    registrations.by_ids(unit, {row.registration_id for row in over})
    touched = ageing.end_grants(unit, [row.id for row in over], now)
    cause = {row.right_id: row.registration_id for row in over}
    outbox.open_now(unit, [right_delivery(right, cause.get(right.id), None) for right in touched], now)
    finished = ageing.without_grants(unit, {row.registration_id for row in over})
    registrations.set_intents(unit, [(row.id, Intent.EXPIRED, row.occurred_at, row.options) for row in finished], now)
    for row in finished:
        known = Known(row.learner_id, *learners.identity(unit, row.learner_id), former_email=None, changed=False)
        names = set(orjson.loads(row.targets))
        targets = [target for target in catalogue.targets.values() if target.name in names]
        outbox.add(
            unit, [], [delivery for _, delivery in people.contact_rows(targets, known, row.id, row.event_id)], now
        )
    behind = rights.registrations_behind(unit, [right.id for right in touched])
    settled = registrations.derive_states(unit, [*behind, *(row.id for row in finished)], now)
    outbox.open_waiting(unit, settled, now)
    return len(over)
