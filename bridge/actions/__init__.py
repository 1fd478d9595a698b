"""What an operator may do: one place, shared by console, API and command line. Every action is recorded with its author."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from bridge.actions import asked, deliveries, events, examination, lanes, people, purchases
from bridge.actions.ground import ActionRefused, Ground
from bridge.contract.catalogue import Catalogue
from bridge.contract.inbound import InboundAdapter
from bridge.dispatch.lane import Lane
from bridge.kit.clock import Clock
from bridge.ledger.store import Ledger

__all__ = ["ACTIONS", "ActionRefused", "Actions"]

ACTIONS: Final[Mapping[str, tuple[type[BaseModel], Callable[[Ground, Any, str], Awaitable[Any]]]]] = {
    "requeue": (asked.Requeue, deliveries.requeue),
    "dismiss": (asked.Dismiss, deliveries.dismiss),
    "retry": (asked.RetryNow, deliveries.retry),
    "release": (asked.ReleaseLines, events.release),
    "replay": (asked.ReplayEvents, events.replay),
    "cancel": (asked.CancelRegistrations, purchases.cancel),
    "move": (asked.MoveRegistration, purchases.move),
    "seats": (asked.ReviseSeats, purchases.seats),
    "merge": (asked.MergeLearners, people.merge),
    "pause": (asked.LaneSwitch, lanes.pause),
    "resume": (asked.LaneSwitch, lanes.resume),
    "doctor": (asked.Examine, examination.doctor),
    "reload": (asked.Reload, lanes.reload),
}
"""Every action by its name: what it is asked with, and what does it."""


class Actions:
    """The actions on one ledger; with lanes when the daemon runs, without when a verb writes directly."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        clock: Clock,
        by_target: Mapping[str, Lane] | None = None,
        reload: Callable[[], Awaitable[Any]] | None = None,
        adapter: Callable[[str], InboundAdapter | None] = lambda _source: None,
        examine: Callable[[str], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        """Act on ``ledger``.

        Args:
            ledger: open for writing.
            catalogue: the mapping of today.
            clock: for the record.
            by_target: the lanes of the daemon.
            reload: reads the configuration again, where there is a daemon to do it.
            adapter: of a source, to read its events again.
            examine: looks closely at a target, where there is a daemon to do it.
        """
        lanes_now = by_target if by_target is not None else {}
        self._ground = Ground(ledger, catalogue, clock, lanes_now, reload, adapter, examine)

    async def act(self, name: str, arguments: Mapping[str, Any], operator: str) -> Any:
        """Do an action by name, with arguments as JSON.

        Raises:
            ActionRefused: there is no such action, or it can't be done as asked.
            pydantic.ValidationError: the arguments are wrong.
            LedgerError: the ledger did not take it.
        """
        if name not in ACTIONS:
            raise ActionRefused(f"no such action; there are {', '.join(sorted(ACTIONS))}")
        model, _ = ACTIONS[name]
        return await self.do(name, model.model_validate(arguments), operator)

    async def do(self, name: str, wanted: BaseModel, operator: str) -> Any:
        """Do an action by name with the arguments of its model.

        Raises:
            ActionRefused: it can't be done as asked.
            LedgerError: the ledger did not take it.
        """
        _, action = ACTIONS[name]
        return await action(self._ground, wanted, _person(operator))


def _person(operator: str) -> str:
    # The service's user is often called that, and a pause by "bridge" is the bridge's own: it would end it by itself.
    return "user bridge" if operator == "bridge" else operator
