"""What an LMS tells of a learner's progress: kept by course, and passed on to the targets that want to hear of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import orjson

from bridge.contract.command import EnrollmentCommand, Progress, ProgressKind
from bridge.contract.settings import Milestone
from bridge.intake.people import contact_rows
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import events, learners, learning, outbox, registrations
from bridge.ledger.learners import Known
from bridge.ledger.learning import Told
from bridge.ledger.states import State
from bridge.ledger.unit import Unit

_MILESTONES = {
    "started_at": Milestone.STARTED,
    "percent_at": Milestone.PROGRESS,
    "completed_at": Milestone.COMPLETED,
    "expired_at": Milestone.EXPIRED,
}


def note(unit: Unit, entry: Entry, courses: Sequence[tuple[int, str]]) -> None:
    """Keep a command's progress for (registration id, course), and open the CRM work that follows from what is new."""
    command = entry.plan.command
    assert command.progress is not None  # noqa: S101 - the contract of a progress command
    told = [
        _told(command, command.progress, registration_id, course, entry.member.now)
        for registration_id, course in courses
    ]
    new = learning.note(unit, told)
    seen = {registration_id for registration_id, _ in courses}
    effects = [(entry.event_id, i, "progressed" if i in new else "noted") for i in sorted(seen)]
    events.record_effects(unit, effects)
    _pass_on(unit, entry, {i: {_MILESTONES[name] for name in names} for i, names in new.items()})


def _told(command: EnrollmentCommand, progress: Progress, registration_id: int, course: str, now: int) -> Told:
    at = milliseconds(command.occurred_at)
    completed = progress.kind is ProgressKind.COMPLETED
    percent = 100 if completed and progress.percent is None else progress.percent
    return Told(
        registration_id,
        course,
        percent=percent,
        percent_at=None if percent is None else at,
        started_at=None if progress.kind is ProgressKind.EXPIRED else at,  # whoever is under way has begun
        completed_at=at if completed else None,
        expired_at=now if progress.kind is ProgressKind.EXPIRED else None,
    )


def _pass_on(unit: Unit, entry: Entry, new: Mapping[int, AbstractSet[Milestone]]) -> None:
    # By what is new, and not by what kind of message it was: the first percentage is the news that somebody began.
    news = {milestone for reached in new.values() for milestone in reached}
    hearing = {target.name: target for target in entry.member.targets if not news.isdisjoint(target.hears)}
    if not hearing:
        return
    now, settled = entry.member.now, []
    for row in registrations.by_ids(unit, new):
        names = [name for name in orjson.loads(row.targets) if name in hearing]
        follows = [hearing[name] for name in names if not new[row.id].isdisjoint(hearing[name].hears)]
        known = Known(row.learner_id, *learners.identity(unit, row.learner_id), former_email=None, changed=False)
        rows = contact_rows(follows, known, row.id, entry.event_id)
        due = [delivery for target, delivery in rows if target.when == "accepted"]
        outbox.add(unit, due, [delivery for target, delivery in rows if target.when == "enrolled"], now)
        if State(row.state).settled:
            settled.append(row.id)
    outbox.open_waiting(unit, settled, now)
