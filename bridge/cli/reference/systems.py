"""Adapters and connectors, from what their classes say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from bridge.cli import example
from bridge.cli.describe import Described, fields_of, first_sentence, plain
from bridge.cli.exchanges import exchanges as observed
from bridge.cli.reference.tables import named, table
from bridge.contract.inbound import InboundAdapter, Tabulates, steps
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import Rate, SourceSettings, TargetSettings
from bridge.registry import Registry, adapter_class, connector_class


def adapters() -> Iterator[str]:
    """Yield the table of adapters."""
    head = ("type", "what it is", "addresses", "credentials", "`remote_product_id`", "not confirmed by a source")
    yield from table(
        head, [_adapter(name, adapter_class(name)) for name in example.ours(Registry().adapters(), adapter_class)]
    )


def _adapter(name: str, kind: type[InboundAdapter]) -> Sequence[str]:
    routes = [f"`{', '.join(route.methods)} {route.path}`" for route in kind.routes]
    own = [f"`{field.name}`" for field in fields_of(kind.Settings, SourceSettings) if field.secret]
    addresses = [*routes, f"`{', '.join(kind.methods)} /in/SOURCE`"]
    what = first_sentence(example.module_text(kind))
    return (
        f"`{name}`",
        what,
        "<br>".join(addresses),
        ", ".join(own) or "none",
        plain(kind.product_id),
        kind.unverified,
    )


def _needs(own: Sequence[Described]) -> str:
    needed = [field.name for field in own if field.required]
    optional = [field.name for field in own if not field.required]
    return f"{named(needed) or 'none is needed'}{f'; if wanted {named(optional)}' if optional else ''}"


def senders() -> Iterator[str]:
    """Yield a section for each adapter: what to set, and where to click."""
    for name in example.ours(Registry().adapters(), adapter_class):
        yield from _sender(name, adapter_class(name))


def _sender(name: str, kind: type[InboundAdapter]) -> Iterator[str]:
    own = fields_of(kind.Settings, SourceSettings)
    yield from (f"## `{name}`", "", first_sentence(example.module_text(kind)), "")
    yield f"- Settings: {_needs(own)}."
    yield f"- Its product is: {plain(kind.product_id)}"
    if kind.unverified:
        yield f"- **Not confirmed by any source we have:** {kind.unverified}"
    yield ""
    if isinstance(kind, Tabulates):
        for field, values in kind.meanings.items():
            yield from table((f"`{field}`", "what it does"), [(f"`{value}`", does) for value, does in values.items()])
            yield ""
    for place, step in enumerate(steps(kind, "PUBLIC_URL/in/SOURCE", "PUBLIC_URL"), start=1):
        yield f"{place}. {step}"
    yield ""


def connectors() -> Iterator[str]:
    """Yield the table of connectors."""
    head = (
        *("type", "what it is", "credentials", "course table", "known by", "stage"),
        *("operations, and why each may be repeated", "limits", "batch"),
    )
    names = example.ours(Registry().connectors(), connector_class)
    yield from table(head, [_connector(name, connector_class(name)) for name in names])


def _connector(name: str, kind: type[OutboundConnector]) -> Sequence[str]:
    secrets = [f"`{field.name}`" for field in fields_of(kind.Settings, TargetSettings) if field.secret]
    return (
        f"`{name}`",
        first_sentence(example.module_text(kind)),
        ", ".join(secrets) or "none",
        _course_table(kind),
        {"email": "e-mail", "user_id": "user id"}[kind.known_by],
        kind.stage,
        ", ".join(f"{operation}: {repeat}" for operation, repeat in kind.operations.items()),
        ", ".join(_rate(rate) for rate in kind.rate_limit) or "none published",
        str(kind.batch_size),
    )


def targets() -> Iterator[str]:
    """Yield a section for each connector: what to set, and what may be wrong."""
    for name in example.ours(Registry().connectors(), connector_class):
        yield from _target(name, connector_class(name))


def _target(name: str, kind: type[OutboundConnector]) -> Iterator[str]:
    own = fields_of(kind.Settings, TargetSettings)
    module = example.module_text(kind)
    yield from (f"## `{name}`", "", first_sentence(module), "")
    yield f"- Settings: {_needs(own)}."
    if kind.Course is not None:
        yield f"- A course's table: {_course_table(kind)}."
    if (unverified := example.unconfirmed(module)) is not None:
        yield f"- **Not confirmed by any source we have:** {unverified}"
    yield ""
    rows = [(error.sentence, error.next_step) for error in kind.errors.values()]
    yield from table(("what is wrong", "what to do"), rows)
    yield ""


def exchanges() -> Iterator[str]:
    """Yield what each connector really asks of its target."""
    yield from table(("target", "what happens", "what it is told"), _recorded())


@cache
def _recorded() -> tuple[tuple[str, str, str], ...]:
    """Run every connector against its emulator; once, because that takes seconds."""
    names = example.ours(Registry().connectors(), connector_class)
    return tuple((f"`{name}`", happens, told) for name, happens, told in observed(names))


def _course_table(kind: type[OutboundConnector]) -> str:
    if kind.Course is None:
        return "none"
    fields = ", ".join(f"`{field.name}`" for field in fields_of(kind.Course))
    return f"{'needed' if kind.needs_table else 'optional'}: {fields}"


def _rate(rate: Rate) -> str:
    return f"{rate.requests} requests in {rate.seconds:g} s"
