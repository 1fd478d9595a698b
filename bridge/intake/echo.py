"""What an LMS tells of access that we gave there ourselves: it is progress, and no purchase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from bridge.contract.catalogue import TargetEntry, person_key
from bridge.contract.command import Action, Item
from bridge.intake import learning
from bridge.intake.plan import CommandPlan
from bridge.intake.result import Entry
from bridge.ledger import events, rights
from bridge.ledger import learning as told
from bridge.ledger.unit import Unit

_TELLING = frozenset({Action.ENROLL, Action.PROGRESS})


def heard(unit: Unit, entry: Entry) -> bool:
    """Note what concerns rights of ours; say whether nothing is left of the command.

    What is left of an enroll command is a purchase only where the source accepts enrollments.
    """
    command, member = entry.plan.command, entry.member
    target = next((one for one in member.targets if one.name == member.source.echo_of), None)
    if command.action not in _TELLING or target is None or command.learner is None:
        return False
    ours = _rights(unit, entry, target)
    matched = {
        item: [right.id for right in ours if item.remote_product_id in _ids(right.course)] for item in command.items
    }
    ids = [i for of_one in matched.values() for i in of_one]
    if command.action is Action.PROGRESS:
        learning.note(unit, entry, told.by_rights(unit, ids))
        return True
    behind = rights.registrations_behind(unit, ids)
    events.record_effects(unit, [(entry.event_id, i, "noted") for i in behind])
    strangers = [item for item, ids in matched.items() if not ids]
    if member.source.accept_enrollments and strangers:
        entry.plan = _without(entry.plan, matched)
        return False
    entry.result.ignored += len(strangers)
    return True


def _without(plan: CommandPlan, matched: Mapping[Item, Sequence[int]]) -> CommandPlan:
    return replace(
        plan,
        lines=tuple(line for line in plan.lines if not matched[line.item]),
        unmapped=tuple(item for item in plan.unmapped if not matched[item]),
        ignored=tuple(item for item in plan.ignored if not matched[item]),
    )


def _rights(unit: Unit, entry: Entry, target: TargetEntry) -> list[Any]:
    learner = entry.plan.command.learner
    assert learner is not None  # noqa: S101 - checked by the caller
    person = person_key(target.known_by, entry.member.source.namespace, learner.remote_user_id, learner.email)
    return rights.of_person(unit, target.name, person) if person is not None else []


def _ids(course: str) -> set[str]:
    return {str(value) for value in orjson.loads(course).values() if isinstance(value, str | int)}
