"""The school's shop: its orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from connectors.sandbox.academy_of_mine.state import Order, body_of, checked, invalid, message, not_found, page

if TYPE_CHECKING:
    from connectors.sandbox.academy_of_mine import AcademyOfMine

_STATUSES = ("PENDING_PAYMENT", "COMPLETED", "CANCELLED", "REFUNDED", "FAILED")
_ITEM = {"product_id", "quantity", "price", "total"}


class Shop:
    """Answers what is asked about orders."""

    def __init__(self, school: AcademyOfMine) -> None:
        """Answer for this school."""
        self._school = school

    async def listed(self, request: web.Request) -> web.Response:
        """Return a page of the orders, newest first; of the filters only ``user`` is played."""
        asked = request.query
        if fault := checked(asked, ["page_size", "page_number"], ["order_by", "search_param", "portalId"]):
            return fault
        wanted = [str(one) for one in orjson.loads(asked.get("search_param", "{}")).get("user", [])]
        rows = [
            {"id": order.id, "status": order.status.lower(), "total": order.total, "customer": "A Learner"}
            for order in reversed(self._school.orders.values())
            if not wanted or str(order.user) in wanted
        ]
        return page(asked, rows, self._school.largest_page)

    async def read(self, request: web.Request) -> web.Response:
        """Return one order."""
        if fault := checked(request.query, ["id"]):
            return fault
        if (order := self._order(request.query["id"])) is None:
            return not_found("Order")
        return web.json_response(
            {
                "id": order.id,
                "status": order.status,
                "customerId": order.user,
                "total": order.total,
                "currency": "EUR",
                "orderNotes": order.notes if self._school.shows_notes else [],
                "orderItems": order.items,
            }
        )

    async def create(self, request: web.Request) -> web.Response:
        """Make an order."""
        body = await body_of(request)
        needed = ["orderDate", "status", "customerId", "orderItems"]
        if fault := checked(body, needed, ["orderNotes", "billingAddressId", "shippingAddressId", "taxAmount"]):
            return fault
        if body["status"] not in _STATUSES or self._school.user(body["customerId"]) is None:
            return invalid(status="The selected status is invalid.")
        items: list[dict[str, Any]] = body["orderItems"]
        if any(set(item) != _ITEM or item["product_id"] not in self._school.products for item in items):
            return invalid(orderItems="The selected order items are invalid.")
        order = self._school.add_order(body["customerId"], body["status"], items)
        order.notes = [{"id": n, **note} for n, note in enumerate(body.get("orderNotes", []), 1)]
        return web.json_response({"id": order.id, "message": "Order created successfully"})

    async def set_status(self, request: web.Request) -> web.Response:
        """Update Order Status."""
        body = await body_of(request)
        if fault := checked(body, ["status"]):
            return fault
        if (order := self._order(request.match_info["id"])) is None:
            return not_found("Order")
        order.status = body["status"]
        return message(200, "Order updated successfully")

    async def refund(self, request: web.Request) -> web.Response:
        """Refund an order, once."""
        body = await body_of(request)
        if fault := checked(body, ["id", "refundedVia", "refundType", "refundAmount", "refundReason"]):
            return fault
        if (order := self._order(body["id"])) is None:
            return not_found("Order")
        if order.status == "REFUNDED":
            return message(422, "The order is refunded already.")
        order.status, order.refunded = "REFUNDED", str(body["refundAmount"])
        return web.json_response({"success": True, "message": "Order Refunded Successfully."})

    def _order(self, number: object) -> Order | None:
        return self._school.orders.get(int(str(number))) if str(number).isdecimal() else None
