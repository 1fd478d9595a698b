"""Purchases as orders of the school's own shop: made once, refunded, and never in the way of access."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from html import escape

import aiohttp
import pytest

from bridge.contract.outbound import Operation, Receipt, Refs, TryLater
from connectors.sandbox.academy_of_mine import AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import calls, receipt, rig_for
from tests.suites.outbound import ADA, Rig

ITEM = {"product_id": 7, "quantity": 1, "price": "49.90", "total": "49.90"}
ORDERS = {"products": {"ABCD1234": 7}, "currency": "EUR"}
MARK = {"id": 1, "data": "Made by the registration bridge for ABCD1234", "type": "PRIVATE"}


@pytest.fixture
async def school():
    async with AcademyOfMine() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(school, session) -> Rig:
    return rig_for(school, session, orders=ORDERS)


async def test_a_purchase_becomes_an_order_with_the_documented_fields(school, rig) -> None:
    """After access was given; the private note is what finds it again."""
    granted = receipt(await rig.do(Operation.GRANT))
    sent = school.journal[-1].json
    assert sent.pop("orderDate")[:2] == "20"
    assert sent == {
        "status": "COMPLETED",
        "customerId": 501,
        "orderItems": [ITEM],
        "orderNotes": [{"data": "Made by the registration bridge for ABCD1234", "type": "PRIVATE"}],
    }
    assert granted.refs == Refs({"user": "501"}, {"enrollment": "9001", "order": "31"})
    looked = next(seen for seen in school.journal if seen.method == "GET" and seen.path.endswith("/orders"))
    assert looked.query["search_param"] == '{"user":["501"]}'


async def test_a_product_that_is_not_listed_makes_no_order(school, rig) -> None:
    """Nor is one looked for."""
    receipt(await rig.do(Operation.GRANT, remote_product_id="OTHER"))
    assert school.orders == {}
    assert calls(school)["GET /orders"] == 0


@pytest.mark.parametrize(
    ("change", "word"), [({"amount_paid": None}, "no amount"), ({"currency": "USD"}, "paid in USD")]
)
async def test_a_sum_that_would_falsify_the_reports_makes_no_order(school, rig, change, word) -> None:
    """The person is in all the same, and the note says why."""
    (outcome,) = await rig.deliver([replace(rig.work(Operation.GRANT), **change)])
    assert word in receipt(outcome).note
    assert school.orders == {}
    assert len(rig.live()) == 1


async def test_the_courses_of_one_purchase_are_one_order(school, rig) -> None:
    """Granted at once or one after the other."""
    tables = [{"course_id": 42}, {"course_id": 43}, {"learning_path_id": 7}, {"membership_id": 3}]
    works = [rig.work(Operation.GRANT, table=table, key=f"right-{n}") for n, table in enumerate(tables)]
    outcomes = await rig.deliver(works)
    assert {receipt(outcome).refs.right["order"] for outcome in outcomes} == {"31"}
    receipt(await rig.do(Operation.GRANT, table={"course_id": 44}))
    assert len(school.orders) == 1


async def test_an_order_whose_answer_was_lost_is_found_and_not_made_again(school, rig) -> None:
    """Its note tells it from the person's others."""
    ada = school.add_user(str(ADA.email))
    school.add_order(ada.id, "COMPLETED", [ITEM])
    school.now_fails("lost", method="POST", path="/orders", times=1)
    lost = await rig.do(Operation.GRANT)
    assert isinstance(lost, TryLater)
    assert (lost.applied, lost.steps) == ("unknown", {"order"})
    found = receipt(await rig.do(Operation.GRANT, refs=lost.refs, steps=lost.steps, unknown=True))
    assert found.refs.right["order"] == "32"
    assert len(school.orders) == 2


async def test_where_the_site_shows_no_notes_a_doubtful_order_is_left_to_a_person(school, rig) -> None:
    """It may be there, so none is made; access is given."""
    school.shows_notes = False
    school.now_fails("lost", method="POST", path="/orders", times=1)
    lost = await rig.do(Operation.GRANT)
    assert isinstance(lost, TryLater)
    granted = receipt(await rig.do(Operation.GRANT, refs=lost.refs, steps=lost.steps, unknown=True))
    assert "may be ours" in granted.note
    assert len(school.orders) == 1
    assert len(rig.live()) == 1


@pytest.mark.parametrize("doubtful", [False, True])
async def test_without_a_list_of_orders_one_is_made_only_where_none_can_be_there(school, session, doubtful) -> None:
    """A route that is not set right stops the order that is in doubt, and never the person."""
    rig = rig_for(school, session, orders=ORDERS, routes={"list_orders": "GET /nowhere"})
    granted = receipt(await rig.do(Operation.GRANT, unknown=doubtful))
    assert len(school.orders) == (0 if doubtful else 1)
    assert ("route list_orders (GET /nowhere)" in granted.note) is doubtful
    assert len(rig.live()) == 1


async def test_an_order_that_is_refused_keeps_nobody_out(school, rig) -> None:
    """The note has what was said."""
    school.products = {1}
    granted = receipt(await rig.do(Operation.GRANT))
    assert "there is no order for this purchase" in granted.note
    assert "422" in granted.note
    assert len(rig.live()) == 1


@pytest.mark.parametrize("mode", ["status", "cut"])
async def test_a_shop_that_is_out_of_order_is_tried_a_few_times(school, rig, mode) -> None:
    """Then the delivery ends, because the person has been in since the first try."""
    school.now_fails(mode, method="POST", path="/orders")
    later = await rig.do(Operation.GRANT)
    assert isinstance(later, TryLater)
    assert later.applied == "unknown"
    ended = receipt(await rig.do(Operation.GRANT, refs=later.refs, steps=later.steps, unknown=True, attempt=4))
    assert "there is no order for this purchase" in ended.note
    school.recovers()
    receipt(await rig.do(Operation.GRANT, refs=later.refs, steps=later.steps, unknown=True))
    assert len(school.orders) == 1


async def test_a_cancellation_refunds_the_order_once(school, rig) -> None:
    """By hand, because the money goes back where it was paid; a lost answer refunds nothing twice."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.now_fails("lost", path="/orders/refund", times=1)
    given = {"refs": granted.refs, "ended": "cancelled"}
    lost = await rig.deliver([rig.work(Operation.REVOKE, **given), rig.work(Operation.REVOKE, table={"course_id": 43})])
    assert isinstance(lost[0], TryLater)
    refund = school.journal[[seen.path for seen in school.journal].index("/api/v1/orders/refund")].json
    assert refund.pop("refundReason")
    assert refund == {"id": 31, "refundedVia": "MANUALLY", "refundType": "FULL_REFUND", "refundAmount": "49.90"}
    revoked = receipt(await rig.do(Operation.REVOKE, refs=lost[0].refs, ended="cancelled", unknown=True))
    assert (school.orders[31].status, school.orders[31].refunded) == ("REFUNDED", "49.90")
    assert calls(school)["POST /orders/refund"] == 1
    assert revoked.refs.right["past_orders"] == "31"


async def test_a_cancellation_whose_grant_was_lost_finds_the_order(school, rig) -> None:
    """Without refs, by its note."""
    await rig.do(Operation.GRANT)
    receipt(await rig.do(Operation.REVOKE, ended="cancelled"))
    assert school.orders[31].status == "REFUNDED"


@pytest.mark.parametrize(
    ("refund", "ended", "status"),
    [
        ("cancelled", "expired", "COMPLETED"),
        ("cancelled", "cancelled", "REFUNDED"),
        ("cancelled", "refunded", "REFUNDED"),
        ("refunded", "cancelled", "COMPLETED"),
        ("refunded", "refunded", "REFUNDED"),
        ("never", "refunded", "COMPLETED"),
        ("every", "expired", "REFUNDED"),
    ],
)
async def test_the_settings_say_which_ends_refund(school, session, refund, ended, status) -> None:
    """Access that ended by its date was paid for."""
    rig = rig_for(school, session, orders={**ORDERS, "refund": refund})
    granted = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=granted.refs, ended=ended))
    assert school.orders[31].status == status


@pytest.mark.parametrize(("status", "paid"), [("PENDING_PAYMENT", "49.90"), ("COMPLETED", "0")])
async def test_an_order_without_money_in_it_is_cancelled(school, session, status, paid) -> None:
    """There is nothing to give back."""
    rig = rig_for(school, session, orders={**ORDERS, "status": status})
    work = replace(rig.work(Operation.GRANT), amount_paid=Decimal(paid))
    (granted,) = await rig.deliver([work])
    receipt(await rig.do(Operation.REVOKE, refs=receipt(granted).refs, ended="cancelled"))
    assert school.orders[31].status == "CANCELLED"
    assert school.journal[-1].path.endswith("/orders/31/status")
    assert school.journal[-1].json == {"status": "CANCELLED"}


async def test_a_refund_that_is_refused_still_ends_access(school, rig) -> None:
    """The note has what was said."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.now_fails("status", status=400, path="/orders/refund", body={"message": "no"})
    revoked = receipt(await rig.do(Operation.REVOKE, refs=granted.refs, ended="cancelled"))
    assert "the order of this purchase was not refunded" in revoked.note
    assert rig.live() == []


async def test_the_target_may_say_that_a_refund_did_not_succeed(school, rig) -> None:
    """With status 200."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.now_fails("status", status=200, path="/orders/refund", body={"success": False, "message": "no"})
    revoked = receipt(await rig.do(Operation.REVOKE, refs=granted.refs, ended="cancelled"))
    assert "was not refunded" in revoked.note


@pytest.mark.parametrize("cancelled", [True, False])
async def test_bought_again_is_another_order(school, rig, cancelled) -> None:
    """After a refund, and after the end of access as well; the order of the first purchase is left alone."""
    granted = receipt(await rig.do(Operation.GRANT))
    ended = receipt(await rig.do(Operation.REVOKE, refs=granted.refs, ended="cancelled" if cancelled else None))
    again = receipt(await rig.do(Operation.GRANT, refs=ended.refs))
    assert again.refs.right["order"] == "32"
    assert school.orders[31].status == ("REFUNDED" if cancelled else "COMPLETED")
    assert school.orders[32].notes == [MARK]


async def test_an_order_that_somebody_deleted_is_made_again(school, rig) -> None:
    """A known id that is not there is no order."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.orders.clear()
    outcome = await rig.do(Operation.GRANT, refs=granted.refs)
    assert isinstance(outcome, Receipt)
    assert list(school.orders) == [32]


async def test_an_order_of_another_person_is_never_taken_for_this_ones(school, rig) -> None:
    """Where the shop's list pays no heed to the filter: Bob's order of the same product is neither found nor refunded."""
    bob = school.add_user("bob@example.org")
    theirs = school.add_order(bob.id, "COMPLETED", [ITEM])
    theirs.notes = [MARK]
    rows = [{"id": theirs.id, "status": "completed", "total": "49.90", "customer": "Bob"}]
    unfiltered = {"status": 200, "method": "GET", "path": "/orders", "body": {"records": rows}, "times": 1}
    school.now_fails("status", **unfiltered)
    granted = receipt(await rig.do(Operation.GRANT))
    assert granted.refs.right["order"] != str(theirs.id)
    refs = Refs(granted.refs.person, {"enrollment": granted.refs.right["enrollment"]})
    school.now_fails("status", **unfiltered)
    receipt(await rig.do(Operation.REVOKE, refs=refs, ended="refunded"))
    assert theirs.status == "COMPLETED"


async def test_a_note_is_found_however_an_editor_writes_it(school, session) -> None:
    """Ids of products may have signs in them that a web page escapes, or that look like a tag."""
    odd = 'R&D <b>"1"</b>'
    rig = rig_for(school, session, orders={"products": {odd: 7}, "currency": "EUR"})
    ada = school.add_user(str(ADA.email))
    order = school.add_order(ada.id, "COMPLETED", [ITEM])
    order.notes = [{"id": 1, "data": f"<p>Made by the registration bridge for {escape(odd)}</p>", "type": "PRIVATE"}]
    granted = receipt(await rig.do(Operation.GRANT, remote_product_id=odd))
    assert granted.refs.right["order"] == str(order.id)
    plain = school.add_order(ada.id, "COMPLETED", [ITEM])
    plain.notes = [{"id": 1, "data": f"Made by the registration bridge for {odd}", "type": "PRIVATE"}]
    again = receipt(await rig.do(Operation.GRANT, remote_product_id=odd))
    assert again.refs.right["order"] == str(plain.id)
