"""What every action stands on, and how one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.contract.catalogue import Catalogue
from bridge.contract.errors import BridgeError
from bridge.contract.inbound import InboundAdapter
from bridge.dispatch.lane import Lane
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import repairs
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

_LONGEST_SUBJECT = 500  # characters of one row of the record


class ActionRefused(BridgeError):
    """The action can't be done as asked; the message says why.

    Attributes:
        field: the argument that is to blame; empty where it is no single one.
        missing: what was named is not there.
    """

    def __init__(self, why: str, field: str = "", *, missing: bool = False) -> None:
        """Keep what is to blame."""
        self.field = field
        self.missing = missing
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Ground:
    """What actions are done on, and by which mapping.

    Attributes:
        catalogue: the mapping of today.
        clock: for the record.
        lanes: of the daemon; none where a verb writes directly.
        reload: reads the configuration again, where there is a daemon to do it.
        adapter: of a source, to read its events again.
        examine: looks closely at a target, within a time, where there is a daemon to do it.
        examining: held while it does.
    """

    ledger: Ledger
    catalogue: Callable[[], Catalogue]
    clock: Clock
    lanes: Mapping[str, Lane]
    reload: Callable[[], Awaitable[Any]] | None
    adapter: Callable[[str], InboundAdapter | None]
    examine: Callable[[str], Awaitable[dict[str, Any]]] | None = None
    examining: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def now(self) -> int:
        """The time of the record, in milliseconds."""
        return milliseconds(self.clock.now())


def record_of(unit: Unit, operator: str, action: str, subjects: Iterable[Any], now: int, note: str = "") -> None:
    """Keep who did what to which: ids, or what else names what was acted on. Many take several rows: none is left out."""
    repairs.record_each(unit, operator, action, list(_rows_of(subjects)), note, now)


def _rows_of(subjects: Iterable[Any]) -> Iterator[str]:
    # By each of them a story knows what was done about it, and what is old knows that it has to stay.
    row = ""
    for subject in map(str, subjects):
        if row and len(row) + 1 + len(subject) > _LONGEST_SUBJECT:
            yield row
            row = ""
        row = f"{row},{subject}" if row else subject
    yield row
