"""What a command comes to under the operator's mapping. Pure: same command and catalogue, same plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.command import EnrollmentCommand, Item
from bridge.contract.settings import CourseTable
from bridge.kit.fields import all_hold


@dataclass(frozen=True, slots=True)
class RightPlan:
    """One remote course at one target. The person is known only once the learner is in the ledger."""

    target: TargetEntry
    course_key: str
    course: str


@dataclass(slots=True)
class GrantPlan:
    """One course that an order line leads to, and the rights that carry it; none where no LMS takes the course.

    ``expires_at`` has the course's grace in it: it is when access is taken away.
    """

    course: str
    expires_at: datetime | None
    full_access: bool
    rights: tuple[RightPlan, ...]


@dataclass(slots=True)
class LinePlan:
    """One order line whose product is mapped.

    Attributes:
        line: what tells it from the other lines of its order; empty when the sender names no order and no line.
        contacts: CRM targets that follow the registration.
        seats: how many links come of it.
        links: the named learner gets in by a link only; what ``grants`` says is then what each of them leads to.
    """

    item: Item
    line: str
    grants: tuple[GrantPlan, ...]
    contacts: tuple[TargetEntry, ...]
    product_url: str | None
    seats: int = 0
    links: bool = False


@dataclass(slots=True)
class CommandPlan:
    """One command, line by line.

    Attributes:
        unmapped: lines whose product nobody mapped: they wait in quarantine.
        ignored: lines the operator wants no part of.
    """

    command: EnrollmentCommand
    lines: tuple[LinePlan, ...]
    unmapped: tuple[Item, ...]
    ignored: tuple[Item, ...]


def plan(
    command: EnrollmentCommand, source: SourceEntry, catalogue: Catalogue, begins: datetime | None = None
) -> CommandPlan:
    """Say what a command comes to; ``begins`` is from when on the duration of a claimed seat counts, None for an order."""
    lines, unmapped, ignored = [], [], []
    for item in command.items:
        product = catalogue.products.get((source.name, item.remote_product_id))
        if product is not None and product.ignore:
            ignored.append(item)
        elif product is not None:
            courses = [catalogue.courses[key] for key in product.courses]
            roots = _roots(command, item, source)
            links = begins is None and product.seats == "links"
            lines.append(
                LinePlan(
                    item=item,
                    line=_joined_line(product) if _is_joined(command, source) else line_of(command, item),
                    grants=tuple(_grant(command, item, course, catalogue, roots, begins) for course in courses),
                    contacts=() if links else tuple(_contacts(courses, catalogue, roots)),
                    product_url=product.product_url or next((course.product_url for course in courses), None),
                    seats=0 if begins is not None else seats_of(product, item.quantity),
                    links=links,
                )
            )
        elif source.unmapped == "ignore":
            ignored.append(item)
        else:
            unmapped.append(item)
    return CommandPlan(command, tuple(lines), tuple(unmapped), tuple(ignored))


def seats_of(product: ProductEntry, quantity: int) -> int:
    """Return how many seats there are of so many units of a product."""
    return {"first": quantity - 1, "links": quantity, "none": 0}[product.seats]


def along(
    command: EnrollmentCommand, line: LinePlan, source: SourceEntry, catalogue: Catalogue, keys: Sequence[str]
) -> LinePlan:
    """Return what an order line comes to where an operator let it lead to these courses instead of its product's."""
    roots = _roots(command, line.item, source)
    courses = [catalogue.courses[key] for key in keys]
    return replace(
        line,
        grants=tuple(_grant(command, line.item, course, catalogue, roots, None) for course in courses),
        contacts=tuple(_contacts(courses, catalogue, roots)),
        product_url=next((course.product_url for course in courses), None),
    )


def leads_to(source: str, remote_product_id: str, target: str, catalogue: Catalogue) -> frozenset[str] | None:
    """Return the courses at a target that a product leads to today, by their keys; None where today's mapping can't say."""
    product, entry = catalogue.products.get((source, remote_product_id)), catalogue.targets.get(target)
    if product is None or product.ignore or entry is None:
        return None
    tables = [table for key in product.courses if (table := catalogue.courses[key].tables.get(target)) is not None]
    return frozenset(_right(entry, table, remote_product_id).course_key for table in tables)


def line_of(command: EnrollmentCommand, item: Item) -> str:
    """Return what tells an order line from the others: the sender's reference, else, within an order, its product."""
    return item.line or ("" if command.business_key is None else item.remote_product_id)


def _is_joined(command: EnrollmentCommand, source: SourceEntry) -> bool:
    return source.joined and command.business_key is not None


def _joined_line(product: ProductEntry) -> str:
    # Two systems that report one order name neither its products nor its lines alike; what the line opens is the same.
    return "opens:" + "+".join(sorted(product.courses))


def _roots(command: EnrollmentCommand, item: Item, source: SourceEntry) -> dict[str, Any]:
    return {
        "learner": command.learner,
        "buyer": command.buyer,
        "item": item,
        "order": command.order,
        "options": command.options,
        "source": source,
        "livemode": command.livemode,
    }


def _grant(
    command: EnrollmentCommand,
    item: Item,
    course: CourseEntry,
    catalogue: Catalogue,
    roots: dict[str, Any],
    begins: datetime | None,
) -> GrantPlan:
    expires_at = command.options.expires_at
    if expires_at is None:
        expires_at = _end(command.occurred_at, begins or command.occurred_at, course)
    if expires_at is not None:
        expires_at += course.grace
    return GrantPlan(
        course=course.key,
        expires_at=expires_at,
        full_access=command.options.full_access or course.full_access,
        rights=tuple(
            _right(target, course.tables[target.name], item.remote_product_id)
            for target in catalogue.targets.values()
            if target.stage == "lms"
            and target.name in course.tables
            and (not target.only_if or all_hold(target.only_if, roots))
        ),
    )


def _end(bought: datetime, begins: datetime, course: CourseEntry) -> datetime | None:
    """Return the earlier of the course's ends; a day that was over when somebody paid keeps nobody out."""
    ends = [begins + course.duration] if course.duration is not None else []
    if course.until is not None and course.until > bought:
        ends.append(course.until)
    return min(ends, default=None)


def _right(target: TargetEntry, table: CourseTable, remote_product_id: str) -> RightPlan:
    try:
        text = _remote_course(target.course_for, table, remote_product_id)
    except TypeError:  # a table that holds a list has no hash
        text = _remote_course.__wrapped__(target.course_for, table, remote_product_id)
    return RightPlan(target, course_key=text, course=text)


@lru_cache(maxsize=16_384)
def _remote_course(course_for: Callable[[Any, str], CourseTable], table: CourseTable, remote_product_id: str) -> str:
    return course_for(table, remote_product_id).model_dump_json(exclude_none=True)


def _contacts(courses: list[CourseEntry], catalogue: Catalogue, roots: dict[str, Any]) -> list[TargetEntry]:
    return [
        target
        for target in catalogue.targets.values()
        if target.stage == "crm"
        and (not target.needs_table or any(target.name in course.tables for course in courses))
        and (not target.only_if or all_hold(target.only_if, roots))
    ]
