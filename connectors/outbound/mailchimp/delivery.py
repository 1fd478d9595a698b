"""One call of the connector: ask for the batches that are under way, then send what is left, singly or as a batch."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from bridge.contract.errors import AnswerLost, TransportFault
from bridge.contract.outbound import NeedsOperator, Outcome, Pending, Receipt, Refs, TryLater, Work
from bridge.kit.clock import Clock
from bridge.kit.http import Answer
from connectors.outbound.mailchimp import results
from connectors.outbound.mailchimp.answers import concerns_all, failed, is_final, object_of, taken, written
from connectors.outbound.mailchimp.api import Api
from connectors.outbound.mailchimp.plan import Plan
from connectors.outbound.mailchimp.settings import MailchimpSettings
from connectors.outbound.mailchimp.singly import Singly, arrived

_MOST_OPERATIONS = 1_000  # of one batch: Mailchimp's limit
_SINGLES = 20  # people whom one call takes one by one, so that it ends within its deadline
_FIRST_LOOK, _LATEST_LOOK = 10.0, 120.0  # seconds
_SOON = 2.0  # seconds for each group that stands before
_READABLE_TRIES = 3
_UNDER_WAY = frozenset({"pending", "preprocessing", "started", "finalizing"})
_BATCHED, _BATCHED_AGAIN = "batched", "batched-again"
_WRITTEN = "written-"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Task:
    """One person of the call.

    Attributes:
        written: a batch has brought the member everywhere; only events are left.
        ended: the batch that it was in must not be asked for again.
        told: refs of the events that were told by this call.
    """

    work: Work
    plan: Plan | None = None
    outcome: Outcome | None = None
    fault: TransportFault | None = None
    written: bool = False
    ended: bool = False
    notes: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether nothing has come of it yet."""
        return self.outcome is None and self.fault is None

    @property
    def handle(self) -> str:
        """The batch that it is in, with the fingerprint of what was sent."""
        return self.work.refs.person.get("pending", "")

    @property
    def brought(self) -> bool:
        """Whether a batch has brought just this, now or as a former call noted."""
        return self.written or f"{_WRITTEN}{self.given.fingerprint}" in self.work.steps

    @property
    def given(self) -> Plan:
        """The plan of a task that has one: everybody with an address."""
        assert self.plan is not None  # noqa: S101 - a task without a plan has its outcome from the start
        return self.plan


class Delivery:
    """What is made of one batch of work."""

    def __init__(self, settings: MailchimpSettings, api: Api, clock: Clock, tasks: Sequence[Task]) -> None:
        """Take up the tasks; those without a plan have their outcome."""
        self._settings = settings
        self._api = api
        self._clock = clock
        self._singly = Singly(settings, api)
        self._tasks = tasks
        self._shut: Outcome | None = None  # the next request would fare no better

    async def run(self) -> list[Outcome]:
        """Return one outcome for each.

        Raises:
            TransportFault: no answer came back at all.
        """
        groups: dict[str, list[Task]] = {}
        for task in self._tasks:
            if task.open and task.handle:
                groups.setdefault(task.handle.partition(":")[0], []).append(task)
        for batch_id, group in groups.items():
            if self._shut is None:
                await self._tried(group, self._look(batch_id, group))
            else:
                self._leave(group)
        await self._send([task for task in self._tasks if task.open])
        return _outcomes(self._tasks)

    async def _send(self, tasks: Sequence[Task]) -> None:
        together = [task for task in tasks if not _goes_alone(task)]
        if not self._settings.batch_from or len(together) < self._settings.batch_from:
            together = []
        joined = {id(task) for task in together}
        alone = [task for task in tasks if id(task) not in joined]
        _put_off(alone[_SINGLES:])
        limit = asyncio.Semaphore(self._settings.concurrency)
        async with asyncio.TaskGroup() as group:
            for task in alone[:_SINGLES]:
                group.create_task(self._alone(task, limit))
        if together and self._shut is None:
            fitting = _fitting(together)
            _put_off(together[len(fitting) :])
            await self._tried(fitting, self._submit(fitting))
        if self._shut is not None:
            self._leave(task for task in tasks if task.open or _is_put_off(task))

    async def _alone(self, task: Task, limit: asyncio.Semaphore) -> None:
        async with limit:
            if self._shut is not None:
                self._leave([task])
                return
            await self._tried([task], self._bring(task))

    async def _bring(self, task: Task) -> None:
        if task.brought:
            outcome = await self._singly.tell(task.work, task.given, task.notes, task.told)
        else:
            outcome = await self._singly.bring(task.work, task.given, task.told)
        self._came(outcome, [task])

    async def _tried(self, tasks: Sequence[Task], step: Coroutine[Any, Any, None]) -> None:
        """Take one step for some of them; if no answer comes, that is theirs, and what the others heard stands."""
        try:
            await step
        except TransportFault as fault:
            self._shut = self._shut or TryLater(str(fault), cause="outage")
            for task in tasks:
                task.fault = fault

    def _came(self, outcome: Outcome, tasks: Iterable[Task]) -> None:
        for task in tasks:
            task.outcome = outcome
        if concerns_all(outcome):
            self._shut = self._shut or outcome

    def _leave(self, tasks: Iterable[Task]) -> None:
        """Give those whose turn did not come the reason; they had no effect, whatever the one before had."""
        for task in tasks:
            if isinstance(self._shut, TryLater):
                task.outcome = replace(self._shut, applied="no", refs=Refs(), steps=frozenset())
            elif isinstance(self._shut, NeedsOperator):
                task.outcome = replace(self._shut, refs=Refs(), steps=frozenset())

    async def _submit(self, tasks: Sequence[Task]) -> None:
        operations = [one for task in tasks for one in self._operations(task.given)]
        answer = await self._api.submit(operations)
        batch_id = object_of(answer).get("id") if answer.ok else None
        if isinstance(batch_id, str) and _ID.fullmatch(batch_id):
            for task in tasks:
                task.outcome = _under_way(task, batch_id, _FIRST_LOOK)
            return
        outcome = failed(answer, "hand over a batch")
        if concerns_all(outcome):
            self._came(outcome, tasks)
            return
        for task in tasks:  # there is no batch to be had: singly, from the next call on
            task.outcome = Pending("", _SOON, steps=frozenset({_BATCHED, _BATCHED_AGAIN}))

    def _operations(self, plan: Plan) -> Iterable[dict[str, Any]]:
        for place, call in enumerate(plan.calls):
            one: dict[str, Any] = {
                "method": call.method,
                "path": call.path,
                "operation_id": f"{plan.fingerprint}.{place}",
                "body": orjson.dumps(call.body).decode(),
            }
            if call.writes_member and self._settings.lenient:
                one["params"] = self._settings.lenient
            yield one

    async def _look(self, batch_id: str, tasks: Sequence[Task]) -> None:
        """Ask once for a batch, whosever it is, and give everybody in it what is theirs."""
        if not _ID.fullmatch(batch_id):
            _end(tasks)
            return
        answer = await self._api.send("GET", f"/batches/{batch_id}")
        said = object_of(answer)
        status = said.get("status") if answer.ok else None
        if status in _UNDER_WAY:
            after = self._patience(said.get("submitted_at"))
            for task in tasks:
                task.outcome = Pending(task.handle, after)
            return
        if status == "finished":
            await self._finish(tasks, said.get("response_body_url"))
            return
        outcome = failed(answer, "ask for a batch")
        if concerns_all(outcome):
            self._came(outcome, tasks)
        else:  # Mailchimp doesn't know it, or no longer
            _end(tasks)

    async def _finish(self, tasks: Sequence[Task], url: object) -> None:
        found = await self._results(url)
        if isinstance(found, str):
            tired = [task for task in tasks if task.work.attempt >= _READABLE_TRIES]
            _end(tired)
            for task in tasks:
                if not task.ended:
                    task.outcome = TryLater(found, applied="unknown")
            return
        for task in tasks:
            self._settle(task, found)

    async def _results(self, url: object) -> Mapping[str, Answer] | str:
        """Return each operation's answer, or why they can't be had."""
        if not self._api.may_fetch(url):
            return "read a batch's results: they lie at an address that is not safe to ask"
        try:
            answer = await self._api.fetch(str(url))
        except TransportFault as fault:
            return f"read a batch's results: {fault}"
        if answer.status != 200:
            return f"read a batch's results: HTTP {answer.status}"
        try:
            return results.read(answer.body)
        except ValueError as fault:
            return f"read a batch's results: {fault}"

    def _settle(self, task: Task, found: Mapping[str, Answer]) -> None:
        """Judge what the batch made of one person; what it did not take is done again, by itself.

        So it is with one whose plan has changed since, and whose answers are not found by its fingerprint: the batch
        brought what was wanted then.
        """
        plan = task.given
        task.ended = True
        for place, call in enumerate(plan.calls):
            answer = found.get(f"{plan.fingerprint}.{place}")
            if answer is None:
                return
            if call.writes_member:
                outcome = written(answer, call, self._settings.list_id, task.work)
            else:
                outcome = taken(answer, f"tag the member of list {call.list_id}", task.work)
            if not isinstance(outcome, Receipt):
                task.notes.clear()
                task.outcome = outcome if is_final(answer) and len(list(plan.lists)) == 1 else None
                return
            task.notes += [outcome.note] if outcome.note else []
        task.written = True
        if not plan.events:
            task.outcome = arrived(plan, task.notes, {})

    def _patience(self, submitted_at: object) -> float:
        """Return when to ask again: the longer it takes, the less often."""
        try:
            since = datetime.fromisoformat(str(submitted_at))
            gone = (self._clock.now() - since).total_seconds()
        except (ValueError, TypeError):
            return _FIRST_LOOK
        return min(max(_FIRST_LOOK, gone / 2), _LATEST_LOOK)


def _goes_alone(task: Task) -> bool:
    # The former address has to be changed before the new one is written, and a batch's order is nobody's promise.
    return task.brought or task.given.former is not None or _BATCHED_AGAIN in task.work.steps


def _fitting(tasks: Sequence[Task]) -> Sequence[Task]:
    size = 0
    for place, task in enumerate(tasks):
        size += len(task.given.calls)
        if size > _MOST_OPERATIONS and place:
            return tasks[:place]
    return tasks


def _under_way(task: Task, batch_id: str, after: float) -> Pending:
    plan = task.given
    steps = {_BATCHED, _BATCHED_AGAIN} if _BATCHED in task.work.steps else {_BATCHED}
    # Should the address change before anybody has seen the results, this is the member that has to be changed.
    return Pending(f"{batch_id}:{plan.fingerprint}", after, Refs(person={"member": plan.member}), frozenset(steps))


def _put_off(tasks: Sequence[Task]) -> None:
    """Have those who don't fit into this call come again: nothing was tried, so it is no attempt of theirs."""
    for place, task in enumerate(tasks):
        steps = frozenset({f"{_WRITTEN}{task.given.fingerprint}"} if task.written else ())
        task.outcome = Pending("", _SOON * (1 + place // _SINGLES), steps=steps)


def _is_put_off(task: Task) -> bool:
    return isinstance(task.outcome, Pending) and not task.outcome.handle


def _end(tasks: Iterable[Task]) -> None:
    for task in tasks:
        task.ended = True


def _outcomes(tasks: Sequence[Task]) -> list[Outcome]:
    faults = [task.fault for task in tasks if task.fault is not None]
    if len(faults) == len(tasks) and not any(task.told for task in tasks):
        raise next((fault for fault in faults if isinstance(fault, AnswerLost)), faults[0])
    return [_outcome(task) for task in tasks]


def _outcome(task: Task) -> Outcome:
    outcome = task.outcome
    if outcome is None:
        lost = isinstance(task.fault, AnswerLost)
        refs = Refs(person=task.told)
        outcome = TryLater(str(task.fault), applied="unknown" if lost else "no", cause="outage", refs=refs)
    if task.ended and isinstance(outcome, TryLater | NeedsOperator):
        # It was in a batch that is over; of a receipt or a refusal dispatch sees to it.
        return replace(outcome, refs=replace(outcome.refs, person={**outcome.refs.person, "pending": ""}))
    return outcome
