"""One piece of work under way, and the gate that a batch goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.contract.errors import AnswerLost, TransportFault, Unreachable
from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Receipt, Refs, Refused, TryLater, Work
from connectors.outbound.academy_of_mine.calls import Ended
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse

_AT_ONCE = 4  # people of one batch under way at a time, so that fifty fit into the deadline


@dataclass(slots=True)
class Task:
    """One piece of work under way.

    Attributes:
        staying: whether the same batch has work that gives this person access.
        user: the user's id, once it is known.
        remembered: as long as that is one from an earlier delivery.
        fresh: whether this try made the account.
        changed: once the target has answered a change to the person or the access; from then on nothing that goes wrong
            leaves things as they were.
        touched: whether access itself is another now than the ledger believes.
        right: ids of the right: ``enrollment``, ``order``, and ``until``, the end that we set.
        shut: whether the account is disabled because we did that.
        steps: what this try finished.
    """

    work: Work
    staying: bool = False
    user: str | None = None
    remembered: bool = False
    fresh: bool = False
    changed: bool = False
    touched: bool = False
    right: dict[str, str] = field(default_factory=dict)
    shut: bool = False
    steps: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    result: Outcome | TransportFault | None = None

    def __post_init__(self) -> None:
        """Start from what earlier tries learnt."""
        self.user = self.work.refs.person.get("user") or None
        self.remembered = self.user is not None
        self.shut = self.work.refs.person.get("disabled") == "bridge"
        self.right = dict(self.work.refs.right)

    @property
    def course(self) -> AcademyOfMineCourse:
        """The course's table."""
        assert isinstance(self.work.course, AcademyOfMineCourse)  # noqa: S101 - course_for made it
        return self.work.course

    @property
    def id(self) -> str:
        """The user's id; asked only after the person was found."""
        assert self.user is not None  # noqa: S101 - as said
        return self.user

    @property
    def enrollment(self) -> str | None:
        """The enrollment's id, where it is known."""
        return self.right.get("enrollment") or None

    @property
    def refs(self) -> Refs:
        """What the next delivery should know."""
        person = {"user": self.user} if self.user else {}
        if self.shut or self.work.refs.person.get("disabled"):
            person["disabled"] = "bridge" if self.shut else ""
        right = {"membership": self.course.id} if self.course.membership_id else {}
        return Refs(person, right | self.right)

    @property
    def learnt(self) -> bool:
        """Whether this try found out or finished something that the work did not bring along."""
        known = self.work.refs
        more = _more(self.refs.person, known.person) or _more(self.right, known.right)
        return more or not self.steps <= self.work.steps

    def failed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what was learnt before it, and with what an earlier request may have changed.

        Only a later try can tell the ledger that access may be another now, and without that a change of mind would be
        taken for nothing to do. So a fault that needs a person after access was touched is told with the next try.
        """
        if isinstance(outcome, Receipt):
            return outcome
        outcome = replace(outcome, refs=self.refs, steps=frozenset(self.steps))
        if isinstance(outcome, TryLater):
            return replace(outcome, applied="unknown") if self.changed else outcome
        unheard = not self.work.unknown and self.work.operation is not Operation.UPDATE
        if isinstance(outcome, NeedsOperator | Refused) and self.touched and unheard:
            return TryLater(outcome.why, applied="unknown", refs=outcome.refs, steps=outcome.steps)
        return outcome

    def touch(self) -> None:
        """Note that access was changed."""
        self.changed = self.touched = True

    def done(self, *notes: str) -> Receipt:
        """Return the receipt, with everything that was noted."""
        self.notes += [note for note in notes if note]
        return Receipt(self.refs, "; ".join(self.notes))

    def finished(self, step: str) -> bool:
        """Say whether this try or an earlier one finished a step."""
        return step in self.steps or step in self.work.steps

    def forget(self) -> None:
        """Let go of ids that the target no longer knows."""
        self.user = None
        self.remembered = self.shut = False
        self.forget_enrollment()

    def forget_enrollment(self) -> None:
        """Let go of an enrollment that is gone, and of the end that it had."""
        self.right |= {kind: "" for kind in ("enrollment", "until") if self.right.get(kind)}


def _more(now: Mapping[str, str], before: Mapping[str, str]) -> bool:
    return any(remote and before.get(kind) != remote for kind, remote in now.items())


class Gate:
    """Lets a few people of a batch through at a time, and nobody any more once an answer concerned them all."""

    def __init__(self) -> None:
        """Stand open."""
        self.room = asyncio.Semaphore(_AT_ONCE)
        self.shut: Ended | Unreachable | None = None

    def fail(self, task: Task, why: Ended | TransportFault) -> None:
        """Keep what ended a task, and close where it would end the others too."""
        if isinstance(why, TransportFault):
            task.result = why
            self.shut = why if isinstance(why, Unreachable) else self.shut
            return
        task.result = task.failed(why.outcome)
        if isinstance(why.outcome, TryLater | NeedsOperator) and why.outcome.scope == "lane":
            self.shut = why


def outcomes(tasks: Sequence[Task]) -> list[Outcome]:
    """Return what came of each task, or raise the transport fault that hit them all before anything was learnt."""
    faults = [task.result for task in tasks if isinstance(task.result, TransportFault)]
    if faults and len(faults) == len(tasks) and not any(task.learnt for task in tasks):
        raise next((fault for fault in faults if isinstance(fault, AnswerLost)), faults[0])
    return [_outcome(task) for task in tasks]


def _outcome(task: Task) -> Outcome:
    if isinstance(task.result, TransportFault):
        lost = isinstance(task.result, AnswerLost)
        return task.failed(TryLater(str(task.result), applied="unknown" if lost else "no", cause="outage"))
    assert task.result is not None  # noqa: S101 - every task was taken through its last step
    return task.result
