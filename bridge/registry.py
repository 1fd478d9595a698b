"""From a type's name to its class: found by folder, then by entry point; imported only when somebody asks for it.

The file name in ``connectors/inbound``, ``connectors/outbound`` or ``connectors/sandbox`` is the type. A third party
puts one line into the entry-point group ``bridge.inbound``, ``bridge.outbound`` or ``bridge.sandbox`` of its own project.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from bridge.contract.inbound import InboundAdapter
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import CourseTable, SourceSettings, TargetSettings
from bridge.kit.sandbox import Emulator

_PACKAGE = "connectors"
_LAST_LINE = {"inbound": "ADAPTER", "outbound": "CONNECTOR", "sandbox": "EMULATOR"}


@cache
def _found(direction: str) -> dict[str, str]:
    """Return type name -> module (folder) or ``module:object`` (entry point); our own folder wins."""
    strangers = {point.name: point.value for point in entry_points(group=f"bridge.{direction}")}
    folder = importlib.import_module(f"{_PACKAGE}.{direction}")
    ours = {module.name: f"{folder.__name__}.{module.name}" for module in pkgutil.iter_modules(folder.__path__)}
    return {**strangers, **ours}


def _load(direction: str, name: str) -> Any:
    module, _, attribute = _found(direction)[name].partition(":")
    return getattr(importlib.import_module(module), attribute or _LAST_LINE[direction])


def adapter_class(name: str) -> type[InboundAdapter]:
    """Return an adapter's class.

    Raises:
        KeyError: there is no such type.
    """
    return cast("type[InboundAdapter]", _load("inbound", name))


def connector_class(name: str) -> type[OutboundConnector]:
    """Return a connector's class.

    Raises:
        KeyError: there is no such type.
    """
    return cast("type[OutboundConnector]", _load("outbound", name))


def emulator_class(name: str) -> type[Emulator]:
    """Return the emulator that plays a connector's target.

    Raises:
        KeyError: there is none.
    """
    return cast("type[Emulator]", _load("sandbox", name))


class Registry:
    """What adapters and connectors say of themselves, for the configuration."""

    def adapters(self) -> Sequence[str]:
        """Return the types that ``adapter`` may name."""
        return sorted(_found("inbound"))

    def connectors(self) -> Sequence[str]:
        """Return the types that ``connector`` may name."""
        return sorted(_found("outbound"))

    def emulators(self) -> Sequence[str]:
        """Return the targets that can be emulated."""
        return sorted(_found("sandbox"))

    def source_settings(self, adapter: str) -> type[SourceSettings]:
        """Return the model of a source's table."""
        return adapter_class(adapter).Settings

    def target_settings(self, connector: str) -> type[TargetSettings]:
        """Return the model of a target's table."""
        return connector_class(connector).Settings

    def course_table(self, connector: str) -> type[CourseTable] | None:
        """Return the model of a course's table for a target, or None when it takes none."""
        return connector_class(connector).Course

    def needs_table(self, connector: str) -> bool:
        """Say whether a course without such a table is not for that target."""
        return connector_class(connector).needs_table

    def sends_user_ids(self, adapter: str) -> bool:
        """Say whether such a sender names people by ids of its own."""
        return adapter_class(adapter).user_ids

    def knows_user_ids(self, connector: str) -> bool:
        """Say whether such a target knows people by a sender's bare ids: an LMS does, a CRM is given a qualified key."""
        kind = connector_class(connector)
        return kind.known_by == "user_id" and kind.stage == "lms"

    def template_faults(self, folder: Path | None) -> Sequence[str]:
        """Return what is wrong with the notices' templates, ``file:line: words``."""
        from bridge.notices.templates import TemplateFault, Templates  # noqa: PLC0415 - Jinja2, for those who send notices

        try:
            return Templates.read(folder).faults()
        except TemplateFault as fault:
            return [str(fault)]

    def keys(self, adapter: str, settings: SourceSettings) -> Sequence[str]:
        """Return the credentials that a source can be found by."""
        return adapter_class(adapter)(settings).credentials()
