"""One piece of work under way, and the ways in which a call for several of them may end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from bridge.contract.command import email_key
from bridge.contract.errors import AnswerLost, TransportFault
from bridge.contract.outbound import Operation, Outcome, Receipt, Refs, TryLater, Work
from connectors.outbound.moodle.api import Ended, Row
from connectors.outbound.moodle.settings import MoodleCourse


@dataclass(slots=True)
class Task:
    """One piece of work.

    Attributes:
        work: what is to be done.
        idnumber: the person's ID number, where the school keeps ours.
        user: the account's id, once it is known.
        account: the account as the site showed it; None of one that this try made.
        changed: whether the site answered a change for it, from when on a fault no longer leaves things as they were.
        until: the end that this try wrote; None as long as it wrote none.
        notes: what the operator may want to know of a success.
        result: how it ended.
        code: Moodle's error code, where one ended it.
    """

    work: Work
    idnumber: str = ""
    user: str | None = None
    account: Row | None = None
    changed: bool = False
    until: int | None = None
    notes: list[str] = field(default_factory=list)
    result: Outcome | TransportFault | None = None
    code: str = ""

    @property
    def course(self) -> MoodleCourse:
        """The course's table."""
        assert isinstance(self.work.course, MoodleCourse)  # noqa: S101 - course_for made it
        return self.work.course

    @property
    def open(self) -> bool:
        """Whether there is something left to do."""
        return self.result is None

    @property
    def revoking(self) -> bool:
        """Whether access is to be taken away."""
        return self.work.operation is Operation.REVOKE

    @property
    def email(self) -> str:
        """The address in small letters, its domain as mail servers spell it; empty where the learner has none."""
        if self.work.learner.email is None:
            return ""
        local = self.work.learner.email.strip().rpartition("@")[0]
        return f"{local.lower()}@{email_key(self.work.learner.email).rpartition('@')[2]}"

    @property
    def same_person(self) -> str:
        """What two pieces of work for one person have in common."""
        return self.email or self.work.person

    @property
    def end(self) -> int:
        """The wanted end in Unix seconds; 0 is none."""
        until = self.work.terms.expires_at
        return int(until.timestamp()) if until is not None else 0

    @property
    def end_before(self) -> int | None:
        """The end that an earlier delivery wrote; None where that is not known."""
        text = self.work.refs.right.get("until", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def held_there(self) -> bool:
        """Whether an earlier delivery gave this account the course."""
        return self.work.refs.right.get("enrollment") == f"{self.user}:{self.course.course_id}"

    @property
    def refs(self) -> Refs:
        """What is known by now. Moodle names no enrolment but by account and course."""
        if self.user is None:
            return Refs()
        until = {} if self.until is None else {"until": str(self.until)}
        held = {"enrollment": f"{self.user}:{self.course.course_id}", **until} if self.changed and until else {}
        return Refs({"user": self.user}, held)

    @property
    def learnt(self) -> bool:
        """Whether this try came to know, or changed, something."""
        return self.changed or self.user not in (None, self.work.refs.person.get("user"))

    def forget(self) -> None:
        """Look on: the account is not the person's."""
        self.user = self.account = None

    def done(self, note: str = "") -> None:
        """End well."""
        self.result = Receipt(self.refs, "; ".join([*self.notes, *([note] if note else [])]))

    def failed(self, why: Ended | TransportFault) -> None:
        """End as a call for it ended."""
        if isinstance(why, TransportFault):
            self.result = why
        else:
            self.result, self.code = self._kept(why.outcome), why.code

    def outcome(self) -> Outcome:
        """Return how it ended, with all that was learnt."""
        if isinstance(self.result, TransportFault):
            lost = isinstance(self.result, AnswerLost)
            return self._kept(TryLater(str(self.result), applied="unknown" if lost else "no", cause="outage"))
        assert self.result is not None  # noqa: S101 - every task was taken through its last step
        return self.result

    def _kept(self, outcome: Outcome) -> Outcome:
        if self.changed and isinstance(outcome, TryLater):
            return replace(outcome, refs=self.refs, applied="unknown")
        return replace(outcome, refs=self.refs)


def still_open(tasks: Sequence[Task]) -> list[Task]:
    """Return those that have something left to do."""
    return [task for task in tasks if task.open]


async def together(tasks: Sequence[Task], call: Callable[[Sequence[Task]], Awaitable[None]]) -> None:
    """Make one call for all; where it fails because of one of them, which it does not name, make one for each."""
    tasks = still_open(tasks)
    if not tasks:
        return
    try:
        await call(tasks)
    except TransportFault as fault:
        _fail(tasks, fault)
    except Ended as why:
        if len(tasks) == 1 or why.of_everybody:
            _fail(tasks, why)
            return
        await _one_by_one(tasks, call)


async def _one_by_one(tasks: Sequence[Task], call: Callable[[Sequence[Task]], Awaitable[None]]) -> None:
    for number, task in enumerate(tasks):
        try:
            await call([task])
        except TransportFault as fault:
            _fail(tasks[number:], fault)  # no use in waiting as long for each of the others
            return
        except Ended as why:
            if why.of_everybody:
                _fail(tasks[number:], why)
                return
            task.failed(why)


def _fail(tasks: Sequence[Task], why: Ended | TransportFault) -> None:
    for task in tasks:
        task.failed(why)


def outcomes(tasks: Sequence[Task]) -> list[Outcome]:
    """Return one outcome for each, in order.

    Raises:
        TransportFault: it hit everybody, and nothing was learnt of anybody.
    """
    faults = [task.result for task in tasks if isinstance(task.result, TransportFault)]
    if faults and len(faults) == len(tasks) and not any(task.learnt for task in tasks):
        raise next((fault for fault in faults if isinstance(fault, AnswerLost)), faults[0])
    return [task.outcome() for task in tasks]
