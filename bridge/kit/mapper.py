"""From a sender's body to commands, by the expressions of :mod:`bridge.kit.mapping`.

Everything is prepared once for a source. Whatever the body holds, only
:class:`~bridge.contract.errors.PayloadInvalid` comes out, and it names the field of the command and the expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent, Meaning, Unreadable
from bridge.contract.settings import Condition
from bridge.kit.expressions import Expression, ExpressionFailed, Scope
from bridge.kit.fields import holds
from bridge.kit.mapping import WORDS, MapsFields
from bridge.kit.rows import Row, Specs, Times


class Mapper:
    """Maps the bodies of one source."""

    def __init__(self, settings: MapsFields) -> None:
        """Prepare everything that does not depend on a body."""
        self._each = settings.each
        self._when = [
            (when.field, Condition(field="found", operator=when.operator, value=when.value)) for when in settings.when
        ]
        self._base = settings.written(settings.fields)
        self._plans: dict[str, tuple[str, Specs]] = {
            name: (meaning.action, {**self._base, **settings.written(meaning.fields, alone=False)})
            for name, meaning in settings.actions.items()
        }
        if not settings.actions:
            self._plans = {word: (word, self._base) for word in WORDS}
        self._ignores_unknown = settings.unknown_actions == "ignore"
        self._times = Times(ZoneInfo(settings.timezone), settings.time_format, settings.period_grace)

    def meanings(self, body: Any, event: InboundEvent) -> list[Meaning]:
        """Say what a body means; of a post with many rows each bad one becomes an :class:`Unreadable`.

        Raises:
            PayloadInvalid: it can't be understood.
        """
        scope = Scope(body, event.query, event.headers)
        if self._each is None:
            return list(self._row(body, scope, event.received_at))
        found: list[Meaning] = []
        for place, row in enumerate(self._rows(self._each, body, scope)):
            scope.row = row
            try:
                found += self._row(row, scope, event.received_at)
            except PayloadInvalid as wrong:
                found.append(Unreadable(str(place), wrong.faults))
        return found

    @staticmethod
    def _rows(each: Expression, body: Any, scope: Scope) -> Sequence[Any]:
        try:
            rows = each.evaluate(body, scope)
        except ExpressionFailed as failed:
            raise PayloadInvalid({"each": f"{failed} (in {each})"}) from None
        if rows is None:
            raise PayloadInvalid({"each": f"finds nothing (in {each})"})
        return rows if isinstance(rows, list) else [rows]

    def _row(self, value: Any, scope: Scope, received_at: datetime) -> Iterator[EnrollmentCommand]:
        row = Row(scope, value, self._base, self._times, {})
        if not self._is_meant(row):
            return
        name = row.text("action")
        row.raise_faults()
        plan = self._plans.get(name)
        if plan is None:
            if self._ignores_unknown:
                return
            said = "is an event that the settings do not name" if name else "is missing"
            raise PayloadInvalid({"action": said + row.origin("action")})
        action, specs = plan
        if action != "ignore":
            yield replace(row, specs=specs).command(action, received_at)

    def _is_meant(self, row: Row) -> bool:
        for field, condition in self._when:
            try:
                if not holds(condition, {"found": field.evaluate(row.value, row.scope)}):
                    return False
            except (ExpressionFailed, RecursionError, ValueError) as failed:
                why = str(failed) if isinstance(failed, ExpressionFailed) else "it can't be compared"
                raise PayloadInvalid({"when": f"{why} (in {field})"}) from None
        return True
