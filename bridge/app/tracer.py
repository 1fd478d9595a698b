"""The tracer that the settings ask for; OpenTelemetry is an extra, and is looked for only where it is wanted."""

from __future__ import annotations

import structlog

from bridge.kit.tracing import Tracer
from config.settings import Settings

log = structlog.get_logger(__name__)


def tracer_of(settings: Settings) -> Tracer | None:
    """Return it, or None where nothing is to be traced.

    A bridge works without traces too: what is wrong with them is logged, and it starts.
    """
    if not settings.telemetry.traces:
        return None
    try:
        from bridge.app.traces import OtelTracer  # noqa: PLC0415 - an extra; without it nothing is imported

        return OtelTracer()
    except ImportError:
        log.warning("traces.off", why="the extra is not installed", remedy="pip install 'registration-bridge[otel]'")
    except Exception as fault:  # noqa: BLE001 - whatever stands in OTEL_*, purchases are taken
        log.warning("traces.off", why=f"OpenTelemetry can't use the OTEL_* variables: {type(fault).__name__}")
    return None
