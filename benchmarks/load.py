"""A load generator over raw sockets: cheap enough not to be what is measured.

Runs as a process of its own: ``python -m benchmarks.load HOST PORT CONNECTIONS SECONDS RATE CORE`` prints one JSON line. RATE 0
is a closed loop: each connection sends when it was answered. Otherwise so many are sent per second, and a latency counts
from the moment at which the request was due, whether or not its connection was free. CORE -1 keeps to no core.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
import time

from benchmarks.cores import allowed, keep_to

_BODY = (
    '{"api_key":"bench-key","remote_user_id":"%s","firstname":"Ada","lastname":"Lovelace","email":"%s@example.org",'
    '"remote_product_id":"ABCD1234","amount_paid":"49.90","send_email":true}'
)


def request(user: str) -> bytes:
    """Return a registration of a new person, as the vendor's page shows it."""
    body = (_BODY % (user, user)).encode()
    head = f"POST /api/registrations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_SECRET = b"whsec_bench"
_INVOICE = (
    '{"id":"evt_%(user)s","object":"event","api_version":null,"created":%(now)d,"livemode":true,"pending_webhooks":1,'
    '"request":{"id":null,"idempotency_key":null},"type":"invoice.paid","data":{"object":{"id":"in_%(user)s",'
    '"object":"invoice","account_country":"US","amount_due":4990,"amount_paid":4990,"amount_remaining":0,'
    '"attempt_count":1,"attempted":true,"billing_reason":"subscription_create","collection_method":"charge_automatically",'
    '"created":%(now)d,"currency":"usd","customer":"cus_%(user)s","customer_address":{"city":null,"country":"US",'
    '"line1":null,"line2":null,"postal_code":"94107","state":null},"customer_email":"%(user)s@example.org",'
    '"customer_name":"Ada Lovelace","customer_phone":null,"customer_tax_exempt":"none","customer_tax_ids":[],'
    '"default_tax_rates":[],"discounts":[],"effective_at":%(now)d,"issuer":{"type":"self"},"lines":{"object":"list",'
    '"data":[{"id":"il_%(user)s","object":"line_item","amount":4990,"currency":"usd","description":"1 x Introduction",'
    '"discount_amounts":[],"discountable":true,"discounts":[],"invoice":"in_%(user)s","livemode":true,"metadata":{},'
    '"parent":{"invoice_item_details":null,"subscription_item_details":{"invoice_item":null,"proration":false,'
    '"subscription":"sub_%(user)s","subscription_item":"si_%(user)s"},"type":"subscription_item_details"},'
    '"period":{"start":%(now)d,"end":%(end)d},"pricing":{"type":"price_details","unit_amount_decimal":"4990",'
    '"price_details":{"price":"ABCD1234","product":"prod_bench"}},"quantity":1,"taxes":null}],"has_more":false,'
    '"url":"/v1/invoices/in_%(user)s/lines"},"livemode":true,"metadata":{},"number":"%(user)s","parent":'
    '{"type":"subscription_details","quote_details":null,"subscription_details":{"metadata":{},'
    '"subscription":"sub_%(user)s"}},"period_end":%(now)d,"period_start":%(now)d,"starting_balance":0,"status":"paid",'
    '"status_transitions":{"finalized_at":%(now)d,"paid_at":%(now)d},"subtotal":4990,"total":4990}}}'
)


def purchase(user: str) -> bytes:
    """Return a signed webhook of a new customer's payment, in the form of Stripe's ``invoice.paid``."""
    now = int(time.time())
    body = (_INVOICE % {"user": user, "now": now, "end": now + 2_592_000}).encode()
    signature = hmac.digest(_SECRET, b"%d.%s" % (now, body), "sha256").hex()
    head = (
        "POST /in/shop HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={now},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Sender(asyncio.Protocol):
    """One connection: sends, waits for the answer, sends the next one when it is due."""

    def __init__(self, name: str, begin: float, every: float, until: float, latencies: list[float]) -> None:
        self._name, self._every, self._until, self._latencies = name, every, until, latencies
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._number = 0
        self._buffer = b""
        self._due = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        self._due = self._due + self._every if self._every and self._number else max(now, self._due)
        if self._due >= self._until:
            self._transport.close()
            self.done.set_result(None)
        elif self._due > now:
            self._loop.call_later(self._due - now, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._number += 1
        self._transport.write(purchase(f"{self._name}-{self._number}"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        if b" 200 " not in head[:20]:
            self.done.set_exception(RuntimeError(self._buffer[:300].decode()))
            self._transport.close()
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._due)
        self._next()


async def load(host: str, port: int, connections: int, seconds: float, rate: float) -> dict[str, float]:
    """Send over so many connections; return requests per second and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    started = time.perf_counter()
    every = connections / rate if rate else 0.0
    senders = [
        _Sender(
            f"u{time.time_ns()}-{number}",
            started + number * every / connections,
            every,
            started + seconds,
            latencies,
        )
        for number in range(connections)
    ]
    for sender in senders:
        await loop.create_connection(lambda sender=sender: sender, host, port)
    await asyncio.gather(*(sender.done for sender in senders))
    took = time.perf_counter() - started
    latencies.sort()
    at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]  # noqa: E731 - two uses, side by side
    return {"per_second": len(latencies) / took, "seconds": took, "p50_ms": at(0.5), "p99_ms": at(0.99)}


if __name__ == "__main__":
    where, core = (sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), int(sys.argv[6])
    if core >= 0:
        keep_to(core, allowed())
    print(json.dumps(asyncio.run(load(*where, float(sys.argv[4]), float(sys.argv[5])))))
