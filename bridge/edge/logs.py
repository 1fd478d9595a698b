"""Logs: one JSON object, or one console line, an event; secrets and e-mail addresses are masked in every one."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO

import structlog

from bridge.kit.masking import BLANK, mask, mask_text, secret_name

_PLAIN = frozenset(
    {"level", "timestamp", "event", "logger", "source", "target", "outcome", "became", "operation", "follows"}
)


class _Forgiving:
    """A stream whose faults reach nobody: a full disk or a log collector that is gone must not stop a purchase."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def configure(level: str = "info", form: Literal["json", "console"] = "json", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records, masked, to ``stream``; default: standard error.

    What the stream can't take is lost.
    """
    target: Any = _Forgiving(stream or sys.stderr)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # A traceback tells where, not what: the values of local variables are learners' names and secrets.
    as_data = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    render: list[Any] = [_without_none, as_data if form == "json" else _keep, _masked]
    render.append(
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=target.isatty(), sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
    )
    minimum = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_remove_meta, *render])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(minimum, logging.INFO))
    # APScheduler and Alembic tell of every ordinary step; the bridge says what matters itself.
    for chatty in ("apscheduler", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _keep(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event


def _remove_meta(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event


def _without_none(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in [name for name, value in event.items() if value is None]:
        del event[name]
    return event


def _masked(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if type(value) in (int, float, bool) or (name in _PLAIN and name != "event"):
            continue
        if isinstance(value, str):
            event[name] = BLANK if secret_name(name) else mask_text(value)
        elif name != "exc_info":
            event[name] = mask(value, name)
    return event
