"""Every metric, from the registry that ``/metrics`` shows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from bridge.cli.reference.tables import named, table
from bridge.edge.telemetry import Telemetry

_UNITS = {"_seconds": "seconds", "_bytes": "bytes", "_size": "writes"}
_BY_TYPE = {"counter": "count", "gauge": "number", "histogram": "number"}


def metrics() -> Iterator[str]:
    """Yield the table of metrics, as a scrape names them."""
    registry = Telemetry().registry
    rows = []
    for family in registry.collect():
        found = registry._names_to_collectors[family.name]  # noqa: SLF001 - the only way from a name to its labels
        labels = found._labelnames if isinstance(found, MetricWrapperBase) else ()  # noqa: SLF001 - as above
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, named(labels), _unit(family.name, family.type), family.documentation))
    yield from table(("metric", "type", "labels", "unit", "what it is"), sorted(rows))


def _unit(name: str, kind: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), _BY_TYPE[kind])
