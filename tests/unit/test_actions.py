"""What actions come to: which apply to whom, in what order, and what fields follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import Field, ValidationError

from bridge.contract.command import Learner, Order
from bridge.contract.outbound import CourseView, Enrollment, Operation, Work
from bridge.contract.settings import ActionSettings, Milestone
from bridge.kit.actions import due, folded, rule_faults, template_faults

ADA = Learner(email="ada@example.org", first_name="Ada")


class Fields(ActionSettings):
    fields: dict[str, str] = Field(default_factory=dict)


def day(number: int) -> datetime:
    return datetime(2026, 3, number, tzinfo=UTC)


def enrollment(number: int = 1, course: str = "intro", percent: int | None = None, **reached: int) -> Enrollment:
    return Enrollment(
        registration_id=number,
        source="ams",
        remote_product_id="P",
        state="active",
        course=CourseView(course, course.title()),
        order=Order(total=Decimal(49)),
        amount_paid=None,
        currency=None,
        registered_at=day(1),
        changed_at=day(1),
        milestones={Milestone(name): day(at) for name, at in reached.items()},
        percent=percent,
    )


def work(*enrollments: Enrollment) -> Work:
    return Work(1, "k", Operation.CONTACT, "email:ada@example.org", ADA, enrollments=enrollments)


def action(*on: str, fields: Mapping[str, str] | None = None, only_if: Any = ()) -> Fields:
    return Fields.model_validate({"on": on, "fields": dict(fields or {}), "only_if": only_if})


def fields_of(actions: list[Fields], *enrollments: Enrollment) -> dict[str, str]:
    return folded((one.action.fields, one.roots) for one in due(actions, work(*enrollments)))


def test_an_action_applies_to_what_has_reached_its_milestone() -> None:
    """Not before, and for good."""
    waits = [action("completed", fields={"done": "{course.title}"})]
    assert fields_of(waits, enrollment(enrolled=1)) == {}
    assert fields_of(waits, enrollment(enrolled=1, completed=2)) == {"done": "Intro"}
    assert fields_of(waits, enrollment(enrolled=1, completed=2, refunded=3)) == {"done": "Intro"}


def test_the_later_milestone_has_the_last_word() -> None:
    """Whatever the order in which the operator wrote the actions, or the courses were bought."""
    actions = [
        action("cancelled", fields={"status": "left {course.key}"}),
        action("enrolled", fields={"status": "in {course.key}"}),
    ]
    one, other = enrollment(1, "intro", enrolled=1, cancelled=9), enrollment(2, "ethics", enrolled=5)
    assert fields_of(actions, one, other) == {"status": "left intro"}
    assert fields_of(actions, other, one) == {"status": "left intro"}
    assert fields_of(actions, enrollment(1, "intro", enrolled=1, cancelled=3), other) == {"status": "in ethics"}


def test_at_one_moment_the_later_stage_of_life_counts() -> None:
    """An LMS may tell of start and completion in one message."""
    actions = [action("completed", fields={"s": "done"}), action("started", fields={"s": "begun"})]
    assert fields_of(actions, enrollment(started=4, completed=4)) == {"s": "done"}


def test_nobody_is_ahead_of_being_enrolled() -> None:
    """A purchase may reach us after the LMS has told of the completion, by the LMS's own clock."""
    late = enrollment(enrolled=5, completed=2)
    late = replace(late, registered_at=day(5))
    actions = [action("enrolled", fields={"s": "in"}), action("completed", fields={"s": "done"})]
    assert fields_of(actions[::-1], late) == {"s": "done"}
    [both] = due([action("enrolled", "completed")], work(late))
    assert (both.milestone, both.at) == (Milestone.COMPLETED, day(2))


def test_an_action_with_several_milestones_applies_once() -> None:
    """At the latest of them."""
    [one] = due([action("enrolled", "updated", "completed")], work(enrollment(enrolled=1, completed=6)))
    assert (one.milestone, one.at) == (Milestone.COMPLETED, day(6))


@pytest.mark.parametrize(
    ("rules", "applies"),
    [
        ([{"field": "course.key", "operator": "equal_to", "value": "intro"}], True),
        ([{"field": "course.key", "operator": "equal_to", "value": "ethics"}], False),
        (
            [
                {
                    "any": [
                        {"field": "course.key", "operator": "equal_to", "value": "ethics"},
                        {
                            "all": [
                                {"field": "order.total", "operator": "greater_than", "value": 40},
                                {"field": "registration.percent", "operator": "less_than", "value": 90},
                            ]
                        },
                    ]
                }
            ],
            True,
        ),
        (
            [
                {"all": [{"field": "order.total", "operator": "greater_than", "value": 40}]},
                {"any": [{"field": "registration.state", "operator": "equal_to", "value": "expired"}]},
            ],
            False,
        ),
    ],
)
def test_rules_are_joined_by_and_and_or(rules: Any, applies: bool) -> None:
    """To any depth; the list itself is an and."""
    found = due([action("enrolled", only_if=rules)], work(enrollment(enrolled=1, percent=50)))
    assert bool(found) is applies


def test_an_empty_value_wipes_nothing_but_a_state() -> None:
    """What the sender doesn't know stays as a colleague typed it in."""
    told = fields_of(
        [action("enrolled", fields={"phone": "{learner.phone}", "state": "{registration.state}", "name": "x"})],
        enrollment(enrolled=1),
    )
    assert told == {"state": "active", "name": "x"}
    assert folded([({"state": "{registration.state}"}, {})]) == {"state": ""}


def test_an_occurrence_has_one_name_for_good() -> None:
    """Of progress and of changed data each occurrence has its own."""
    occurrence = {
        one.milestone.value: one.occurrence
        for one in due(
            [action(name) for name in ("enrolled", "progress", "updated")],
            work(enrollment(7, enrolled=1, progress=2, updated=3, percent=40)),
        )
    }
    assert occurrence == {
        "enrolled": "7:intro:enrolled",
        "progress": "7:intro:progress:40",
        "updated": f"7:intro:updated:{int(day(3).timestamp() * 1000)}",
    }


def test_what_ends_once_more_is_another_occurrence() -> None:
    """Cancelled, opened anew and cancelled again: it happened twice, and each of the two has its own name."""
    names = [
        one.occurrence
        for reached in ({"enrolled": 1, "cancelled": 2}, {"enrolled": 3, "completed": 2, "cancelled": 4})
        for one in due([action("cancelled"), action("completed")], work(enrollment(7, **reached)))
    ]
    again = int(day(3).timestamp() * 1000)
    assert names == ["7:intro:cancelled", "7:intro:completed", f"7:intro:cancelled:{again}"]


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{learner.first_name}", ""),
        ("{learner.attributes.chapter}", ""),
        ("{registration.completed_at}", ""),
        ("{learner.first_nam}", "learner.first_nam is not known"),
        ("{lerner.email}", "expected a path that begins with"),
        ("{course.title", "a brace too many or too few"),
    ],
)
def test_a_template_that_leads_nowhere_is_a_fault(template: str, fault: str) -> None:
    """It would send nothing, and nobody would know why."""
    found = template_faults({"x": template})
    assert bool(found) is bool(fault)
    assert fault in "".join(found)


def test_a_rule_that_leads_nowhere_is_a_fault_at_any_depth() -> None:
    """It would never hold."""
    rule = {"any": [{"all": [{"field": "course.ky", "operator": "equal_to", "value": 1}]}]}
    [fault] = rule_faults(action("enrolled", only_if=[rule]).only_if)
    assert "course.ky is not known; course has key, product_url, title" in fault


@pytest.mark.parametrize(
    "given",
    [
        {"on": []},
        {"on": "bought"},
        {"on": "enrolled", "only_if": [{"any": []}]},
        {"on": "enrolled", "only_if": [{"any": [{"field": "x"}]}]},
        {"on": "enrolled", "only_if": [{"all": [{"field": "x", "operator": "equal_to", "value": 1}], "or": 1}]},
    ],
)
def test_what_cannot_be_meant_is_a_fault(given: dict[str, Any]) -> None:
    """At start-up, not when somebody has paid."""
    with pytest.raises(ValidationError):
        Fields.model_validate(given)
