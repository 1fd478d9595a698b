"""Records on their way to HubSpot: many in one upsert, and one by one when HubSpot takes the many only in part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Outcome, TryLater
from bridge.kit.clock import Clock
from bridge.kit.http import Answer
from connectors.outbound.hubspot.answers import record_id, results
from connectors.outbound.hubspot.api import Api, Kind

MOST = 100  # records in one request
_NEXT_TIME = "the batch was split into more calls than fit into one delivery, and this one's turn is next"


@dataclass(slots=True, kw_only=True)
class Record(ABC):
    """One record of a batch. ``outcome``: what became of it where that is known, and is not that HubSpot has it."""

    trace: str
    properties: dict[str, str]
    learner: Learner
    remote_id: str = ""
    outcome: Outcome | None = None

    @property
    def open(self) -> bool:
        """Whether nothing is known yet of what became of it."""
        return self.outcome is None and not self.remote_id

    @property
    @abstractmethod
    def key(self) -> tuple[str, str]:
        """The unique property that HubSpot is to find it by, and the value of that."""

    def is_meant(self, value: str) -> bool:
        """Whether a record at HubSpot with this value of the unique property is this one."""
        return value == self.key[1]

    def is_there(self, remote_id: str, note: str = "") -> None:
        """HubSpot has it, under this id."""
        self.remote_id = remote_id


R = TypeVar("R", bound=Record)


class HasOutcome(Protocol):
    """Anything that an answer may settle."""

    outcome: Outcome | None


H = TypeVar("H", bound=HasOutcome)


class Turns:
    """The time that one delivery has for single calls: they end well before its deadline, 25 s."""

    SECONDS = 12.0

    def __init__(self, clock: Clock) -> None:
        """Begin."""
        self._clock = clock
        self._until = clock.monotonic() + self.SECONDS

    @property
    def over(self) -> bool:
        """Whether what has had no turn yet waits for the next delivery."""
        return self._clock.monotonic() > self._until

    async def each(self, members: Sequence[H], act: Callable[[H], Awaitable[None]]) -> Outcome | None:
        """Act on one after the other until the time is up, or until an answer concerns the whole lane: return that."""
        for at, member in enumerate(members):
            if self.over:
                settle(members[at:], TryLater(_NEXT_TIME))
                return None
            await act(member)
            if lane_wide(member.outcome):
                settle(members[at:], member.outcome)
                return member.outcome
        return None

    async def chunks(self, members: Sequence[H], act: Callable[[Sequence[H]], Awaitable[None]]) -> Outcome | None:
        """Act on as many at a time as one request takes; otherwise as :meth:`each`."""
        for at in range(0, len(members), MOST):
            if self.over:
                settle(members[at:], TryLater(_NEXT_TIME))
                return None
            chunk = members[at : at + MOST]
            await act(chunk)
            if stopped := next((one.outcome for one in chunk if lane_wide(one.outcome)), None):
                settle(members[at + MOST :], stopped)
                return stopped
        return None


def settle(members: Iterable[HasOutcome], outcome: Outcome | None) -> None:
    """Give all of them one outcome."""
    for one in members:
        one.outcome = outcome


def lane_wide(outcome: Outcome | None) -> bool:
    """Whether nothing else is to be sent to this target now."""
    return isinstance(outcome, TryLater | NeedsOperator) and outcome.scope == "lane"


async def upsert(api: Api, kind: Kind, records: Sequence[R]) -> Answer:
    """Create or update all of them in one request, and tell those that HubSpot confirms.

    Nobody promises that the results have the order of the inputs: they are found by our trace id, else by the key.
    """
    inputs = [
        {
            "id": record.key[1],
            "idProperty": record.key[0],
            "objectWriteTraceId": record.trace,
            "properties": record.properties,
        }
        for record in records
    ]
    answer = await api.send("POST", f"{api.objects(kind)}/batch/upsert", {"inputs": inputs})
    found = results(answer) or []
    alone = len(records) == len(found) == 1  # a contact found by its second e-mail shows its first
    for result in found:
        record, remote_id = records[0] if alone else _whose(result, records), record_id(result)
        if record is not None and remote_id:
            record.is_there(remote_id, "created" if result.get("new") is True else "")
    return answer


def _whose(result: Mapping[str, Any], records: Sequence[R]) -> R | None:
    trace, properties = result.get("objectWriteTraceId"), result.get("properties")
    values = properties if isinstance(properties, dict) else {}
    by_trace = (record for record in records if record.trace == trace)
    by_key = (record for record in records if record.is_meant(str(values.get(record.key[0]) or "")))
    return next(by_trace, None) or next(by_key, None)
