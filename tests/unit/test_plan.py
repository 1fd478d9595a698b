"""Planning is pure: what a command comes to under the operator's mapping."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.contract.catalogue import CourseEntry, ProductEntry
from bridge.contract.command import Item, Options
from bridge.contract.settings import Condition, CourseTable
from bridge.intake.plan import CommandPlan, line_of, plan
from tests.ledger.rig import CARELESS, CRM, LMS, NEWS, SCHOOL, SHOP, Course, at, buy, line, mapping, with_targets


def planned(*products, catalogue=None, source=SHOP, **more) -> CommandPlan:
    return plan(buy(*products, **more), source, catalogue or mapping())


def courses_of(found: CommandPlan) -> list[list[str]]:
    return [[grant.course for grant in one.grants] for one in found.lines]


def test_a_product_leads_to_its_course():
    """And to the right that carries it at the LMS that takes it."""
    [found] = planned("INTRO").lines
    [grant] = found.grants
    assert (grant.course, grant.expires_at, grant.full_access) == ("intro", None, False)
    assert [(right.target.name, right.course) for right in grant.rights] == [("lms", '{"course_id":1}')]
    assert found.product_url == "https://x.example/intro"


def test_a_bundle_leads_to_all_its_courses():
    """The address of the first counts, or the bundle's own."""
    assert courses_of(planned("BUNDLE")) == [["intro", "ethics"]]
    own = mapping(products={("shop", "BUNDLE"): ProductEntry(("ethics", "intro"), product_url="https://x.example/all")})
    assert planned("BUNDLE", catalogue=own).lines[0].product_url == "https://x.example/all"
    assert planned("BUNDLE").lines[0].product_url == "https://x.example/intro"


def test_a_course_at_two_lms_is_two_rights():
    """One for each."""
    [found] = planned("BOTH").lines
    assert [right.target.name for right in found.grants[0].rights] == ["lms", "school"]


def test_two_of_our_courses_with_one_table_are_one_remote_course():
    """Their rights carry the same key."""
    keys = [planned(product).lines[0].grants[0].rights[0].course_key for product in ("INTRO", "AGAIN", "ETHICS")]
    assert keys[0] == keys[1] != keys[2]


def test_lines_are_sorted_into_mapped_unmapped_and_ignored():
    """Each by its own product."""
    found = planned("INTRO", "NEW", "MUG", "ETHICS")
    assert courses_of(found) == [["intro"], ["ethics"]]
    assert [item.remote_product_id for item in found.unmapped] == ["NEW"]
    assert [item.remote_product_id for item in found.ignored] == ["MUG"]


def test_a_source_may_ignore_what_is_unmapped():
    """A shop that also sells mugs."""
    found = planned("INTRO", "NEW", source=CARELESS)
    assert (len(found.lines), len(found.unmapped), len(found.ignored)) == (1, 0, 1)


def test_products_belong_to_their_source():
    """What one source calls INTRO is nothing to another."""
    only_shop = mapping(products={("shop", "INTRO"): ProductEntry(("intro",))})
    assert len(planned("INTRO", catalogue=only_shop, source=CARELESS).ignored) == 1


@pytest.mark.parametrize(
    ("options", "end"),
    [
        (Options(), at(0) + timedelta(days=365)),
        (Options(expires_at=at(77)), at(77)),
    ],
    ids=["as the course says", "as the sender says"],
)
def test_access_ends_as_the_sender_says_or_else_the_course(options: Options, end):
    """Counted from when it was bought."""
    assert planned("YEAR", options=options).lines[0].grants[0].expires_at == end


@pytest.mark.parametrize(
    ("until", "days", "end"),
    [
        (at(60), None, at(60)),
        (at(60), 365, at(60)),
        (at(60 * 24 * 400), 365, at(60 * 24 * 365)),
        (at(-60), 365, at(60 * 24 * 365)),
        (at(-60), None, None),
    ],
    ids=["alone", "before the duration", "after the duration", "over already", "over already, and no duration"],
)
def test_a_day_may_end_access_for_everybody_who_bought_before_it(until, days, end):
    """The earlier end counts, and nobody pays for a day that is over."""
    duration = None if days is None else timedelta(days=days)
    year = CourseEntry("year", "A year", duration=duration, until=until, tables={"lms": Course(course_id=9)})
    found = planned("YEAR", catalogue=mapping(courses={**mapping().courses, "year": year}))
    assert found.lines[0].grants[0].expires_at == end


def test_grace_is_added_to_the_end():
    """Whoever renews a day late is not locked out."""
    year = CourseEntry(
        "year", "A year", duration=timedelta(days=365), grace=timedelta(days=3), tables={"lms": Course(course_id=9)}
    )
    found = planned("YEAR", catalogue=mapping(courses={**mapping().courses, "year": year}))
    assert found.lines[0].grants[0].expires_at == at(0) + timedelta(days=368)


def test_full_access_comes_from_the_command_or_the_course():
    """Either is enough."""
    assert planned("INTRO", options=Options(full_access=True)).lines[0].grants[0].full_access
    full = replace(mapping().courses["intro"], full_access=True)
    assert planned("INTRO", catalogue=mapping(courses={"intro": full, "ethics": full})).lines[0].grants[0].full_access


def test_crm_targets_follow_every_course_unless_they_need_a_table():
    """A mailing list per course is only for courses that have one."""
    listed = replace(NEWS, needs_table=True)
    assert [target.name for target in planned("INTRO", catalogue=with_targets(LMS, CRM, listed)).lines[0].contacts] == [
        "crm"
    ]
    intro = replace(mapping().courses["intro"], tables={"lms": Course(course_id=1), "news": Course(course_id=5)})
    catalogue = replace(with_targets(LMS, CRM, listed), courses={**mapping().courses, "intro": intro})
    assert [target.name for target in planned("BUNDLE", catalogue=catalogue).lines[0].contacts] == ["crm", "news"]


@pytest.mark.parametrize("value", ["INTRO", ["INTRO", "OTHER"]], ids=["equal", "in a list"])
def test_conditions_choose_the_targets(value):
    """For an LMS its rights, for a CRM its contacts; also conditions that hold a list."""
    operator = "in" if isinstance(value, list) else "equal_to"
    only = (Condition(field="item.remote_product_id", operator=operator, value=value),)
    catalogue = with_targets(replace(LMS, only_if=only), SCHOOL, replace(CRM, only_if=only))
    met, unmet = planned("INTRO", "ETHICS", catalogue=catalogue).lines
    assert (len(met.grants[0].rights), len(met.contacts)) == (1, 1)
    assert (len(unmet.grants[0].rights), len(unmet.contacts)) == (0, 0)


def test_a_course_table_may_hold_a_list():
    """Tables of connectors that we have not written yet."""

    class Tagged(CourseTable):
        tags: list[str]

    tagged = CourseEntry("intro", "Introduction", tables={"lms": Tagged(tags=["a", "b"])})
    found = planned(
        "INTRO", catalogue=mapping(courses={"intro": tagged}, products={("shop", "INTRO"): ProductEntry(("intro",))})
    )
    assert found.lines[0].grants[0].rights[0].course == '{"tags":["a","b"]}'


@pytest.mark.parametrize(
    ("item", "order", "expected"),
    [
        (Item(remote_product_id="INTRO"), None, ""),
        (Item(remote_product_id="INTRO"), "o-1", "INTRO"),
        (line("INTRO", "7"), None, "7"),
        (line("INTRO", "7"), "o-1", "7"),
    ],
    ids=["neither", "an order", "a line", "both"],
)
def test_what_tells_a_line_from_the_others(item: Item, order: str | None, expected: str):
    """The sender's reference, else within an order its product."""
    assert line_of(buy(item, order=order), item) == expected


def test_the_same_command_gives_the_same_plan():
    """Whenever it is asked."""
    assert planned("BUNDLE", "NEW") == planned("BUNDLE", "NEW")
