"""Ends access whose time is over: course by course, and the registration when nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import structlog

from bridge.contract.catalogue import Catalogue
from bridge.intake import people
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
    """Looks for grants that ended, oldest first, a few hundred in one transaction."""

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue], clock: Clock) -> None:
        """Work on ``ledger``; today's catalogue says which CRM targets are told."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._clock = clock

    async def run(self) -> None:
        """End what is over. Running it twice, or on two machines, ends nothing twice.

        Raises:
            LedgerError: the ledger can't take it now; the next run does it.
        """
        now = milliseconds(self._clock.now())
        catalogue = self._catalogue()
        while (ended := await self._ledger.write(lambda unit: expire(unit, catalogue, now))) == _AT_ONCE:
            log.info("expiry.ended", grants=ended)
        if ended:
            log.info("expiry.ended", grants=ended)


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
        outbox.wait(unit, [delivery for _, delivery in people.contact_rows(targets, known, row.id, row.event_id)], now)
    behind = rights.registrations_behind(unit, [right.id for right in touched])
    settled = registrations.derive_states(unit, [*behind, *(row.id for row in finished)], now)
    outbox.open_waiting(unit, settled, now)
    return len(over)
