"""What a target's mappings and actions want of HubSpot: which properties, which values, which pipelines and stages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bridge.kit.fields import placeholders
from connectors.outbound.hubspot.api import Kind
from connectors.outbound.hubspot.settings import HubspotCourse, HubspotSettings

_TAKEN_CARE_OF = frozenset({"pipeline", "dealstage"})  # HubSpot keeps their values as pipelines, not as options
_DATES = frozenset({"registered_at", "changed_at", "started_at", "completed_at"})
_NUMBERS = frozenset({"registration.percent", "registration.amount_paid", "order.total"})


@dataclass(frozen=True, slots=True)
class Stage:
    """A deal stage that the mapping names. ``pipeline``: where it has to be; None where that is not told."""

    name: str
    pipeline: str | None


def templates_of(settings: HubspotSettings, courses: Sequence[HubspotCourse], kind: Kind) -> list[Mapping[str, str]]:
    """Return everything that maps properties of a kind, each as property = template."""
    if kind == "contacts":
        return [settings.contact, *(one.fields for _, one in settings.contact_actions)]
    mapped = [settings.deal, *(one.deal for one in courses), *(one.fields for _, one in settings.deal_actions)]
    return [one for one in mapped if one]


def properties_of(templates: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Return every property that is mapped, with all its templates, in the order of the operator."""
    found: dict[str, list[str]] = {}
    for mapping in templates:
        for name, template in mapping.items():
            found.setdefault(name, []).append(template)
    return {name: list(dict.fromkeys(several)) for name, several in found.items()}


def fixed_values(name: str, templates: Iterable[str]) -> Iterator[str]:
    """Yield what is sent to a property whoever the learner is: templates without a placeholder, which name one value."""
    if name not in _TAKEN_CARE_OF:
        yield from (template for template in templates if template and not placeholders(template))


def fixed_pipelines(templates: Iterable[Mapping[str, str]]) -> list[str]:
    """Return every pipeline that is named outright."""
    return list(dict.fromkeys(name for mapping in templates if (name := _fixed(mapping, "pipeline"))))


def fixed_stages(settings: HubspotSettings, courses: Sequence[HubspotCourse]) -> list[Stage]:
    """Return every stage that is named outright, with the pipeline that the same deal is put into.

    An action's stage may meet a deal of any course: it is bound to a pipeline only where the action names it.
    """
    whole = [settings.deal, *({**settings.deal, **one.deal} for one in courses)]
    found = [
        Stage(name, _fixed(mapping, "pipeline") or (None if "pipeline" in mapping else "default"))
        for mapping in whole
        if (name := _fixed(mapping, "dealstage"))
    ]
    for _, action in settings.deal_actions:
        if name := _fixed(action.fields, "dealstage"):
            found.append(Stage(name, _fixed(action.fields, "pipeline") or None))
    return list(dict.fromkeys(found))


def type_of(templates: Sequence[str]) -> tuple[str, str]:
    """Return HubSpot's type and field type for a property that has to hold what these templates come to."""
    paths = [placeholders(one)[0] if _is_one_path(one) else "" for one in templates]
    if paths and all(path.startswith("registration.") and path.split(".")[1] in _DATES for path in paths):
        return "datetime", "date"
    if paths and all(path in _NUMBERS for path in paths):
        return "number", "number"
    return "string", "text"


def _is_one_path(template: str) -> bool:
    found = placeholders(template)
    return len(found) == 1 and template == f"{{{found[0]}}}"


def _fixed(mapping: Mapping[str, str], name: str) -> str:
    template = mapping.get(name, "")
    return "" if placeholders(template) else template
