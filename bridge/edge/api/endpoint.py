"""What an address of the API is: what it is asked with, what it answers, and what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from bridge.actions import Actions
from bridge.contract.catalogue import Catalogue
from bridge.edge.api.access import Caller
from bridge.edge.health import Stands
from bridge.edge.masked import veil
from bridge.edge.systems import SourceFacts, TargetFacts
from bridge.kit.clock import Clock
from bridge.ledger.store import Ledger

LARGEST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Desk:
    """What the API answers from.

    Attributes:
        targets: those that are in use, as they are configured; ``sources`` likewise.
        searching: held by whoever looks for something that no index knows: one at a time.
    """

    ledger: Ledger
    catalogue: Callable[[], Catalogue]
    bridge: Stands
    actions: Actions
    clock: Clock
    targets: Callable[[], Sequence[TargetFacts]]
    sources: Callable[[], Sequence[SourceFacts]]
    searching: asyncio.Lock = field(default_factory=asyncio.Lock)


class Asked(BaseModel):
    """Base of what stands in the query of a call: an unknown name is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Asked):
    """A call without a query."""


class Shown(Asked):
    """How what is told is shown."""

    reveal: bool = Field(default=False, description="learners unmasked; for operators")


class Tried(Shown):
    """How an action is done."""

    dry_run: bool = Field(default=False, description="only say what would be done")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a caller who may make it.

    Attributes:
        path: what stands in its address: ids as numbers.
    """

    caller: Caller
    path: Mapping[str, Any]
    query: Any
    body: Any

    def shown(self, told: Any) -> Any:
        """Return what the ledger told, with learners masked unless they are to be revealed."""
        return veil(told, reveal=getattr(self.query, "reveal", False))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one address, below ``/admin/api/v1``.

    Attributes:
        name: the operation's id in the document.
        summary: what it does, in a sentence.
        does: returns what becomes ``answer``, or None where what the path names is not there.
        operates: whether it changes something, so that only operators may call it.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    answer: type[BaseModel]
    does: Callable[[Desk, Call], Awaitable[Any]]
    query: type[Asked] = Shown
    body: type[BaseModel] | None = None
    operates: bool = False
