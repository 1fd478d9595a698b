"""What an operator's actions come to for one person: which of them apply, and what fields follow from them. Pure.

Level, not edge: an action applies to an enrollment that *has reached* one of its milestones, however long ago, and the
fields of all actions that apply are laid over each other in the order of time. So the same enrollments always come to the
same fields; a repeat, a lost answer and a message that came late change nothing. What must happen once for each
occurrence (a marketing event) is told apart by :attr:`Due.occurrence`, which the connector keeps as a ref.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import field_validator

from bridge.contract.command import Learner, Order
from bridge.contract.outbound import CourseView, Enrollment, Work
from bridge.contract.settings import ActionSettings, Condition, Milestone, Rule, conditions_of
from bridge.kit.clock import milliseconds
from bridge.kit.fields import all_hold, number_of, placeholders, render, stray_brace

A = TypeVar("A", bound=ActionSettings)

_PROPERTIES = {"live", "started_at", "completed_at"}
ROOTS: Mapping[str, frozenset[str]] = {
    "learner": frozenset(Learner.model_fields),
    "course": frozenset(field.name for field in fields(CourseView)),
    "registration": frozenset(field.name for field in fields(Enrollment)) | _PROPERTIES,
    "order": frozenset(Order.model_fields),
}
"""What templates and conditions of a CRM target may name. ``registration`` is the enrollment: registration and course."""

_ENDS = frozenset({Milestone.EXPIRED, Milestone.CANCELLED, Milestone.REFUNDED})

CLEARING = frozenset({"registration.state", "registration.live"})
"""Paths whose empty value is sent too: a state that no longer stands behind anything is cleared at the target."""


class CheckedAction(ActionSettings):
    """An action whose rules name what an enrollment has: the base of each connector's own."""

    @field_validator("only_if")
    @classmethod
    def _compare_what_there_is(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if faults := rule_faults(rules):
            raise ValueError("; ".join(faults))
        return rules


@dataclass(frozen=True, slots=True)
class Due(Generic[A]):
    """One action that applies to one enrollment.

    Attributes:
        milestone: the latest of the action's milestones that the enrollment has reached. ``at``: when.
    """

    action: A
    enrollment: Enrollment
    milestone: Milestone
    at: datetime
    learner: Learner

    @property
    def roots(self) -> dict[str, Any]:
        """What templates see."""
        return roots_of(self.learner, self.enrollment)

    @property
    def occurrence(self) -> str:
        """Name what happened, the same on every try: for what a target must be told once and not again."""
        one = f"{self.enrollment.registration_id}:{self.enrollment.course.key}:{self.milestone.value}"
        if self.milestone is Milestone.PROGRESS:
            return f"{one}:{self.enrollment.percent}"
        opened = self.enrollment.milestones.get(Milestone.ENROLLED)
        if self.milestone in _ENDS and opened is not None and self.enrollment.registered_at < opened <= self.at:
            return f"{one}:{milliseconds(opened)}"  # opened anew, it ended once more
        return f"{one}:{milliseconds(self.at)}" if self.milestone is Milestone.UPDATED else one


def roots_of(learner: Learner, enrollment: Enrollment | None) -> dict[str, Any]:
    """Return what templates and conditions see of a person and one enrollment."""
    return {
        "learner": learner,
        "course": enrollment.course if enrollment else None,
        "registration": enrollment,
        "order": enrollment.order if enrollment else None,
    }


def due(actions: Iterable[A], work: Work) -> list[Due[A]]:
    """Return the actions that apply to each enrollment of the person, the oldest milestone first.

    An action with several milestones applies once to an enrollment, at the latest of them that was reached.
    """
    wanted = list(actions)
    found: list[Due[A]] = []
    for enrollment in work.enrollments:
        roots = roots_of(work.learner, enrollment)
        for action in wanted:
            reached = [name for name in enrollment.milestones if name in action.on]
            if reached and all_hold(action.only_if, roots):
                milestone = max(reached, key=lambda name: _order(enrollment, name))
                found.append(Due(action, enrollment, milestone, enrollment.milestones[milestone], work.learner))
    return sorted(found, key=lambda one: _order(one.enrollment, one.milestone))  # stable: as the operator wrote them


def _order(enrollment: Enrollment, milestone: Milestone) -> tuple[datetime, int]:
    # What an LMS tells has the LMS's time, and a purchase the time at which it came to us, perhaps late: nobody is ahead
    # of being enrolled.
    return max(enrollment.milestones[milestone], enrollment.registered_at), list(Milestone).index(milestone)


def folded(parts: Iterable[tuple[Mapping[str, str], Mapping[str, Any]]]) -> dict[str, str]:
    """Lay rendered fields over each other: (field = template, roots), the later one wins.

    An empty value is left out, so that what a sender doesn't know never wipes what a colleague typed in; but where the
    template names a path of :data:`CLEARING` it is kept, and clears the field.
    """
    told: dict[str, str] = {}
    for templates, roots in parts:
        for name, template in templates.items():
            value = render(template, roots)
            if value or not CLEARING.isdisjoint(placeholders(template)):
                told[name] = value
    return told


def template_faults(templates: Mapping[str, str]) -> list[str]:
    """Say what is wrong with templates, by the name of their field; empty when they can be used."""
    return [f"{name}: {fault}" for name, template in templates.items() if (fault := _template_fault(template))]


def rule_faults(rules: Iterable[Rule]) -> list[str]:
    """Say which conditions can never hold: they name a field that an enrollment doesn't have, or compare no numbers."""
    faults = (_path_fault(one.field) or _size_fault(one) for one in conditions_of(rules))
    return [f"only_if: {fault}" for fault in faults if fault]


def _template_fault(template: str) -> str:
    if stray_brace(template):
        return "has a brace too many or too few; expected text with {path} in it"
    return next((fault for path in placeholders(template) if (fault := _path_fault(path))), "")


def _size_fault(condition: Condition) -> str:
    if condition.operator not in ("greater_than", "less_than") or number_of(condition.value) is not None:
        return ""
    return f"{condition.field}: {condition.operator} compares numbers; expected a number as value"


def _path_fault(path: str) -> str:
    root, _, rest = path.partition(".")
    if (known := ROOTS.get(root)) is None:
        return f"{path} is not known; expected a path that begins with {', '.join(ROOTS)}"
    if rest.partition(".")[0] not in known:
        return f"{path} is not known; {root} has {', '.join(sorted(known))}"
    return ""
