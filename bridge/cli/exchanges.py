"""What each target is told of one purchase, one completed course, one cancellation and one refund: found by doing it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from bridge import registry
from bridge.app import Bridge
from bridge.cli.emulated import emulated, settled
from bridge.cli.example import example_course
from bridge.contract.catalogue import SourceEntry
from bridge.contract.command import (
    Action,
    EnrollmentCommand,
    Item,
    Learner,
    Order,
    Progress,
    ProgressKind,
    Refund,
)
from bridge.contract.inbound import InboundEvent
from bridge.intake.intake import Intake
from bridge.kit.clock import SystemClock
from bridge.kit.sandbox import Emulator
from config.settings import Course, Product, Settings

_ADA = Learner(remote_user_id="4711", email="ada@example.org", first_name="Ada", last_name="Lovelace")
_SOURCE = SourceEntry("shop", "elevate", namespace="shop", business_scope="shop")
_AT = SystemClock().now() - timedelta(hours=1)  # lately: some news is not told when it is old
_ONE = Item(remote_product_id="INTRO", amount_paid=Decimal("49.90"), currency="EUR")


def _command(action: Action, minute: int, order: str, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=action,
        occurred_at=_AT + timedelta(minutes=minute),
        learner=_ADA,
        items=(_ONE,),
        business_key=order,
        order=Order(number=order, total=Decimal("49.90"), currency="EUR"),
        **more,
    )


STEPS: Mapping[str, Sequence[EnrollmentCommand]] = {
    "a purchase": [_command(Action.ENROLL, 0, "A-1")],
    "the course is completed": [_command(Action.PROGRESS, 1, "A-1", progress=Progress(kind=ProgressKind.COMPLETED))],
    "a cancellation": [_command(Action.CANCEL, 2, "A-1")],
    "a refund, of a second purchase": [
        _command(Action.ENROLL, 3, "A-2"),
        _command(Action.REFUND, 4, "A-2", refund=Refund()),
    ],
}
"""What happens, in order; of the last step only what follows its last command is shown."""


class _Says:
    """Stands in for a sender's adapter: the commands are known already."""

    credential_fields: frozenset[str] = frozenset()
    kept_headers: frozenset[str] = frozenset()
    synchronous = True

    def __init__(self, command: EnrollmentCommand) -> None:
        self._command = command

    def credentials(self) -> Sequence[str]:
        """Return none."""
        return ()

    def normalise(self, _: InboundEvent) -> list[EnrollmentCommand]:
        return [self._command]


def exchanges(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return, for these connectors, rows of: connector, what happened, what it was told (Markdown)."""
    return asyncio.run(_all(names))


async def _all(names: Sequence[str]) -> list[tuple[str, str, str]]:
    return [row for name in names for row in await _one(name)]


async def _one(name: str) -> list[tuple[str, str, str]]:
    rows = []
    async with registry.emulator_class(name)() as emulator, _bridge(name, emulator) as bridge:
        for happens, commands in STEPS.items():
            told: list[str] = []
            for command in commands:
                told = await _told(bridge, command)
            rows.append((name, happens, "<br>".join(told) or "nothing"))
    return rows


def _bridge(name: str, emulator: Emulator) -> AbstractAsyncContextManager[Bridge]:
    return emulated(_settings(name, emulator), {name: emulator})


def _settings(name: str, emulator: Emulator) -> Settings:
    kind = registry.connector_class(name)
    target = kind.Settings.model_validate(
        {"connector": name, "base_url": emulator.base_url, **emulator.credentials, **emulator.featured}
    )
    tables = (
        {}
        if kind.Course is None
        else {name: kind.Course.model_validate(dict(emulator.course) or example_course(kind.Course))}
    )
    course = Course(title="Introduction").model_copy(update={"tables": tables})
    product = Product.model_validate({"source": "shop", "remote_product_id": "INTRO", "courses": ["intro"]})
    return Settings().model_copy(
        update={"targets": {name: target}, "courses": {"intro": course}, "products": (product,)}
    )


async def _told(bridge: Bridge, command: EnrollmentCommand) -> list[str]:
    before = {attempt["attempt_id"] for delivery in await settled(bridge) for attempt in delivery["attempts"]}
    event = InboundEvent(
        method="POST", path="/in/shop", headers={}, query={}, body=b"{}", received_at=command.occurred_at
    )
    adapter: Any = _Says(command)
    await Intake(bridge.ledger, lambda: bridge.catalogue).receive(_SOURCE, adapter, event)
    return [
        line
        for delivery in await settled(bridge)
        for attempt in delivery["attempts"]
        if attempt["attempt_id"] not in before
        for line in _lines(attempt)
    ]


def _lines(attempt: Mapping[str, Any]) -> Iterator[str]:
    for exchange in attempt["exchanges"]:
        sent = exchange["sent"]
        function = f" ({sent['wsfunction']})" if isinstance(sent, dict) and "wsfunction" in sent else ""  # Moodle's
        yield f"`{exchange['method']} {urlsplit(exchange['url']).path}`{function} {exchange['status']}"
    if attempt["outcome"] not in ("receipt", "nothing"):
        yield f"*{attempt['why']}*"
