"""Purchases as orders of the school's own shop, so that its sales reports are right.

An order has no external id, so each is made with a private note that names the product as its source does, and is found
by that among the person's newest orders: one purchase of several courses is one order. The order of an earlier purchase,
which has ended since, is no longer looked at. Access never waits for an order for long: what can't be done about one
stands in the delivery's note.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import unescape
from typing import Any
from weakref import WeakValueDictionary

import orjson

from bridge.contract.errors import TransportFault
from bridge.contract.outbound import TryLater
from bridge.kit.clock import Clock
from bridge.kit.fields import as_text
from connectors.outbound.academy_of_mine.calls import Calls, Ended, date, garbled, id_of, newest, numbers
from connectors.outbound.academy_of_mine.task import Task

_TRIES = 4  # of a delivery; after them it ends without the order, because the person has had access since the first
_NEWEST = 20  # orders of a person that are looked through
_OVER = ("CANCELLED", "REFUNDED", "FAILED")
_MARK = "Made by the registration bridge for "
_REASON = "The purchase was cancelled where it was made."
_ASKED = "order"  # the step: an order was asked for, so that one may be there


@dataclass(frozen=True, slots=True)
class Order:
    """One order, as a read shows it. ``customer``: id of the user whose it is; empty where none is shown."""

    id: str
    customer: str
    status: str
    total: str
    notes: tuple[str, ...]
    products: frozenset[str]


def _refunds(wanted: str, ended: str) -> bool:
    return {"refunded": ended == "refunded", "cancelled": ended in ("cancelled", "refunded")}.get(
        wanted, wanted == "every"
    )


class Orders:
    """Makes orders, and refunds them."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        """Speak through ``calls``."""
        self._calls = calls
        self._clock = clock
        self._settings = calls.settings.orders
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def place(self, task: Task) -> None:
        """See that there is an order for what was granted."""
        product = self._settings.products.get(task.work.remote_product_id)
        if product is None:
            return
        if why := self._unfit(task):
            task.notes.append(f"no order was made: {why}")
            return
        # The courses of one purchase may be granted at once, and only the first of them makes the order.
        async with self._turns.setdefault(task.id, asyncio.Lock()):
            await self._aside(task, "there is no order for this purchase", self._place)

    async def end(self, task: Task) -> None:
        """Refund the order of what was revoked, where the settings say so, and let go of it."""
        if (
            _refunds(self._settings.refund, task.work.ended)
            and task.user is not None
            and task.work.remote_product_id in self._settings.products
        ):
            async with self._turns.setdefault(task.id, asyncio.Lock()):
                await self._aside(task, "the order of this purchase was not refunded", self._refund)
        if order := task.right.get("order"):
            task.right |= {"order": "", "past_orders": " ".join([*_past(task), order])}

    def _unfit(self, task: Task) -> str:
        if task.work.amount_paid is None:
            return "the source names no amount"
        if task.work.currency not in (None, self._settings.currency):
            return f"it was paid in {task.work.currency}, and the shop has {self._settings.currency}"
        return ""

    async def _aside(self, task: Task, otherwise: str, step: Callable[[Task, str], Awaitable[None]]) -> None:
        """Take a step that must not keep the person out: tried again a few times when the target was not itself."""
        try:
            await step(task, str(self._settings.products[task.work.remote_product_id]))
        except Ended as ended:
            if isinstance(ended.outcome, TryLater) and task.work.attempt < _TRIES:
                raise
            task.notes.append(f"{otherwise}: {getattr(ended.outcome, 'why', '')}")
        except TransportFault as fault:
            if task.work.attempt < _TRIES:
                raise
            task.notes.append(f"{otherwise}, or nobody knows: {fault}")

    async def _place(self, task: Task, product: str) -> None:
        doubtful = task.work.unknown or task.finished(_ASKED)
        try:
            found, others = await self._find(task, product)
        except Ended as ended:
            if doubtful or isinstance(ended.outcome, TryLater):
                raise
            found, others = None, []  # this is surely the first time, so that nothing needs to be looked for
        if found is not None:
            task.right["order"] = found.id
        elif doubtful and any(product in order.products and not order.notes for order in others):
            task.notes.append("an order for this product is there that may be ours, so none was made: look at it")
        else:
            task.steps.add(_ASKED)
            task.right["order"] = await self._create(task, product)

    async def _find(self, task: Task, product: str) -> tuple[Order | None, list[Order]]:
        """Return the purchase's order that stands, and the person's others that were looked at."""
        if known := task.right.get("order"):
            order = await self._known(known)
            if order is not None and order.status not in _OVER:
                return order, []
        others = []
        for number in await self._newest(task):
            order = await self._read(number)
            if order.customer not in ("", task.id):  # the note names no person, so nothing else tells them apart
                continue
            if product in order.products and _mark(task) in order.notes and order.status not in _OVER:
                return order, []
            others.append(order)
        return None, others

    async def _known(self, number: str) -> Order | None:
        try:
            return await self._read(number)
        except Ended as ended:
            if ended.stale:  # somebody deleted it
                return None
            raise

    async def _newest(self, task: Task) -> list[str]:
        query = {"search_param": orjson.dumps({"user": [task.id]}).decode(), "order_by": newest("created_at")}
        rows, _ = await self._calls.page("list_orders", query, 1, _NEWEST)
        standing = [row for row in rows if str(row.get("status", "")).upper() not in _OVER]
        found = [id_of(row, "id", what="list the orders") for row in standing]
        return [number for number in found if number not in _past(task)]

    async def _read(self, number: str) -> Order:
        what = "read the order"
        said = self._calls.read(await self._calls.send("read_order", params={"id": number}), "read_order", what)
        items, notes = said.get("orderItems"), said.get("orderNotes")
        if not (said.get("status") and isinstance(items, list)):
            raise garbled(what)
        products = frozenset(str(item.get("product_id")) for item in items if isinstance(item, dict))
        texts = tuple(_text(note) for note in notes) if isinstance(notes, list) else ()
        customer, total = str(said.get("customerId") or ""), str(said.get("total") or "0")
        return Order(number, customer, str(said["status"]).upper(), total, texts, products)

    async def _create(self, task: Task, product: str) -> str:
        paid = as_text(task.work.amount_paid)
        body: dict[str, Any] = {
            "orderDate": date(self._clock.now()),
            "status": self._settings.status,
            "customerId": numbers([task.id])[0],
            "orderItems": [{"product_id": int(product), "quantity": 1, "price": paid, "total": paid}],
            "orderNotes": [{"data": _MARK + task.work.remote_product_id, "type": "PRIVATE"}],
        }
        what = "create the order"
        answer = await self._calls.send("create_order", json=body)
        return id_of(self._calls.read(answer, "create_order", what), "id", what=what)

    async def _refund(self, task: Task, product: str) -> None:
        order, _ = await self._find(task, product)
        if order is None:
            return
        task.right["order"] = order.id
        if order.status == "PENDING_PAYMENT" or not re.search(r"[1-9]", order.total):  # nothing to give back
            answer = await self._calls.send("order_status", order.id, json={"status": "CANCELLED"})
            self._calls.done(answer, "order_status", "cancel the order")
            return
        body = {
            "id": numbers([order.id])[0],
            "refundedVia": "MANUALLY",  # the money goes back where it was paid
            "refundType": "FULL_REFUND",
            "refundAmount": order.total,
            "refundReason": _REASON,
        }
        said = self._calls.read(await self._calls.send("refund_order", json=body), "refund_order", "refund the order")
        if said.get("success") is False:
            task.notes.append("the order of this purchase was not refunded: Academy of Mine says so without a reason")


def _mark(task: Task) -> str:
    return _text(_MARK + task.work.remote_product_id)


def _past(task: Task) -> list[str]:
    return task.right.get("past_orders", "").split()


def _text(note: object) -> str:
    """Return the words of a note alone: an editor puts tags around them, and escapes what looks like one."""
    text = note.get("data") if isinstance(note, dict) else note
    return " ".join(re.sub(r"<[^>]*>", "", unescape(str(text))).split())
