"""A stranger's adapter for acceptance tests: handshakes, verification afar, and thin events that are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import SignatureInvalid
from bridge.contract.inbound import InboundEvent, Lookup, Reception, Response, Route
from bridge.contract.settings import CallsOut, Rate, Secrets
from bridge.kit.acknowledge import acknowledge
from bridge.kit.answers import judge
from bridge.kit.payload import Payload, command


class PostBoxSettings(CallsOut):
    """``[sources.NAME]`` with ``adapter = "postbox"``."""

    secret: Secrets


class PostBox:
    """A sender of thin events whose signature only it can check."""

    Settings: ClassVar = PostBoxSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "The product."
    setup: ClassVar[Sequence[str]] = ("Nothing.",)
    unverified: ClassVar[str] = ""
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(1000, 1.0),)

    def __init__(self, settings: PostBoxSettings) -> None:
        self._secret = settings.secret[0].get_secret_value()

    def credentials(self) -> Sequence[str]:
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> None:
        return None

    def handshake(self, event: InboundEvent) -> Response | None:
        hook = event.headers.get("x-hook-secret")
        return Response(200, b"", {"X-Hook-Secret": hook}) if hook else None

    def verify(self, event: InboundEvent) -> None:
        """It is done afar."""

    async def verify_afar(self, event: InboundEvent, http: Any) -> None:
        answer = await http.send("POST", "/verify", json={"secret": event.json.get("secret"), "expected": self._secret})
        if not answer.ok:
            raise SignatureInvalid("the sender does not know it")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        return []

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        return [Lookup("order", str(order)) for order in event.json["orders"]]

    async def look_up(self, event: InboundEvent, lookup: Lookup, http: Any) -> Any:
        answer = await http.send("GET", f"/orders/{lookup.key}")
        if not answer.ok:
            return judge(answer, "get the order")
        order = Payload(answer.json)
        return [
            command(
                action="enroll",
                occurred_at=event.received_at,
                business_key=lookup.key,
                learner={"email": order.needed_text("email")},
                items=[{"remote_product_id": order.needed_text("product")}],
            )
        ]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        return acknowledge(reception)
