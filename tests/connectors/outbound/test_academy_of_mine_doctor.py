"""What ``bridge doctor`` finds at Academy of Mine."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import Finding
from connectors.outbound.academy_of_mine import CONNECTOR
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse
from connectors.sandbox.academy_of_mine import AcademyOfMine
from connectors.sandbox.academy_of_mine.state import Portal
from tests.connectors.outbound.academy_of_mine_rig import rig_for
from tests.suites.outbound import Rig

EVERYTHING = {"portal_id": 5, "orders": {"products": {"A": 7}, "currency": "EUR"}}
TABLES = ({"course_id": 42}, {"learning_path_id": 7}, {"membership_id": 3})


@pytest.fixture
async def school():
    async with AcademyOfMine() as emulator:
        ada = emulator.add_user("ada@example.org")
        emulator.add_order(ada.id, "COMPLETED", [])
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


async def found(rig: Rig, *tables: dict) -> list[Finding]:
    courses = [AcademyOfMineCourse.model_validate(table) for table in tables or TABLES]
    return list(await rig.connector.examine(courses, fix=False))


def wrong(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if not one.ok]


async def test_every_route_that_only_reads_is_tried(school, session) -> None:
    """And nothing but those."""
    findings = await found(rig_for(school, session, **EVERYTHING))
    assert wrong(findings) == []
    readable = {
        name for name, route in dict(CONNECTOR.Settings.model_fields["routes"].default).items() if "GET" in route
    }
    assert {one.what.split()[1] for one in findings if one.what.startswith("route")} == readable
    assert {seen.method for seen in school.journal} == {"GET"}
    kept = [one.what for one in findings if not one.what.startswith("route")]
    assert kept == ["portal 5", "course 42", "learning path 7", "membership 3", "product 7"]


@pytest.mark.parametrize(
    "route",
    [name for name, text in dict(CONNECTOR.Settings.model_fields["routes"].default).items() if text.startswith("GET")],
)
async def test_a_route_that_fails_is_named_with_how_to_set_it(school, session, route) -> None:
    """One fault, whichever it is."""
    usual = getattr(CONNECTOR.Settings.model_fields["routes"].default, route)
    elsewhere = usual.replace("/api/v1", "/nowhere")
    findings = wrong(await found(rig_for(school, session, **EVERYTHING, routes={route: elsewhere})))
    (fault,) = findings
    assert fault.what == f"route {route} ({elsewhere})"
    assert f'{route} = "METHOD /path"' in fault.remedy
    assert "404" in fault.said


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"course_id": 199}, "course 199"),
        ({"learning_path_id": "x9"}, "learning path x9"),
        ({"membership_id": 300}, "membership 300"),
    ],
)
async def test_a_mapped_id_that_is_not_there_is_named_once(school, session, table, what) -> None:
    """Though several products map it."""
    (fault,) = wrong(await found(rig_for(school, session), *TABLES, table, table))
    assert fault.what == what
    assert next(iter(table)) in fault.remedy


async def test_a_draft_and_an_unknown_product_are_faults(school, session) -> None:
    """Nobody is enrolled in the one; the other makes no order."""
    school.drafts, school.products = {42}, {1}
    draft, product = wrong(await found(rig_for(school, session, orders=EVERYTHING["orders"])))
    assert (draft.what, draft.said) == ("course 42", "it is a draft")
    assert product.what == "product 7"
    assert "[targets.NAME.orders]" in product.remedy


@pytest.mark.parametrize(
    ("portal", "said"), [(Portal(active=False), "not active"), (Portal(seats=0), "no seat is left")]
)
async def test_a_portal_that_can_take_nobody_is_a_fault(school, session, portal, said) -> None:
    """Before somebody has paid for it."""
    school.portals[5] = portal
    (fault,) = wrong(await found(rig_for(school, session, portal_id=5)))
    assert (fault.what, fault.said) == ("portal 5", said)


async def test_a_portal_that_does_not_exist_may_be_its_id(school, session) -> None:
    """404 does not tell which; the remedy names both."""
    (fault,) = wrong(await found(rig_for(school, session, portal_id=6)))
    assert "correct portal_id (6)" in fault.remedy


async def test_an_answer_for_another_portal_is_a_fault(school, session) -> None:
    """A route that leads to some list, say."""
    school.now_fails("status", status=200, path="/portals/details", body={"id": 8})
    (fault,) = wrong(await found(rig_for(school, session, portal_id=5)))
    assert fault.said == "another portal was answered"


async def test_orders_without_notes_would_not_be_found_again(school, session) -> None:
    """So an answer without them is a fault of the route."""
    school.now_fails("status", status=200, path="/orders/details", body={"id": 1, "status": "COMPLETED"})
    (fault,) = wrong(await found(rig_for(school, session, **EVERYTHING)))
    assert fault.what.startswith("route read_order")


async def test_what_needs_somebody_to_look_at_is_left_untried_in_an_empty_school(session) -> None:
    """It is no fault."""
    async with AcademyOfMine() as school:
        findings = await found(rig_for(school, session, **EVERYTHING))
        assert wrong(findings) == []
        untried = [one.what.split()[1] for one in findings if "not tried" in one.said]
        assert untried == ["read_user", "enrolled_courses", "read_order"]


async def test_a_page_of_a_proxy_and_a_throttled_answer_are_faults(school, session) -> None:
    """The one is most likely a wrong address, the other asks for time."""
    school.now_fails("garbage", path="/courses", times=1)
    school.now_fails("status", status=429, path="/memberships", body={})
    rig = rig_for(school, session)
    (page,) = wrong(await found(rig, {"course_id": 42}))
    assert page.what.startswith(("route enrolled_courses", "route list_courses"))
    (throttled,) = wrong(await found(rig, {"membership_id": 3}))
    assert throttled.remedy == "Ask again later."


async def test_a_lost_answer_is_the_callers(school, session) -> None:
    """The doctor's own words for it are the bridge's."""
    school.now_fails("cut", path="/courses")
    with pytest.raises(AnswerLost):
        await found(rig_for(school, session))


@pytest.mark.parametrize(
    ("status", "word"), [(401, "credentials"), (302, "base_url"), (503, "Ask again later"), (404, "search_users")]
)
async def test_a_route_is_not_blamed_for_a_key_or_an_outage(school, session, status, word) -> None:
    """Whoever sets another route for a wrong key has two faults."""
    school.now_fails("status", status=status, body="no")
    assert word in wrong(await found(rig_for(school, session)))[0].remedy
