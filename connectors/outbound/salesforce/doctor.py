"""What ``bridge doctor`` looks at: objects, fields and their rights, picklists, and the day's requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.contract.outbound import Finding
from bridge.kit.fields import placeholders
from connectors.outbound.salesforce.people import NAME
from connectors.outbound.salesforce.session import Session
from connectors.outbound.salesforce.settings import ContactAction, RegistrationAction, SalesforceSettings

_MOMENTS = frozenset(f"registration.{name}" for name in ("registered_at", "changed_at", "started_at", "completed_at"))
_TEXTS = frozenset({"string", "textarea", "phone", "url", "email"})
_RIGHTS = "the user as whom the bridge works"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One object and what is written of it. ``templates``: every one of a field, of mapping and actions."""

    object: str
    external_id: str
    templates: Mapping[str, list[str]]
    lookup: str = ""


async def examined(settings: SalesforceSettings, session: Session) -> list[Finding]:
    """Return one finding for each thing that was looked at.

    Raises:
        NoSession: there was none to look with.
        TransportFault: no answer came back.
    """
    findings: list[Finding] = []
    for wanted in _objects(settings):
        answer = await session.call("GET", f"/sobjects/{wanted.object}/describe")
        said = answer.json if answer.ok else None
        if isinstance(said, dict) and isinstance(said.get("fields"), list):
            findings += [*_of_object(wanted, said), *_of_fields(wanted, said)]
        else:
            findings.append(
                Finding(
                    f"object {wanted.object}",
                    ok=False,
                    said=f"Salesforce does not describe it (HTTP {answer.status})",
                    remedy=f"Correct the object's name, or let {_RIGHTS} see it.",
                )
            )
    return [*findings, _of_limits((await session.call("GET", "/limits")).json, settings.stop_at)]


def _objects(settings: SalesforceSettings) -> Iterator[_Wanted]:
    contact, registration = settings.contact, settings.registration
    of_contact = [action.fields for action in settings.actions if isinstance(action, ContactAction)]
    yield _Wanted("Contact", contact.external_id, _joined([contact.templates, *of_contact]))
    if registration is not None:
        of_registration = [action.fields for action in settings.actions if isinstance(action, RegistrationAction)]
        joined = _joined([registration.templates, *of_registration])
        yield _Wanted(registration.object, registration.external_id, joined, registration.relationship)


def _joined(mappings: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    joined: dict[str, list[str]] = {}
    for mapping in mappings:
        for name, template in mapping.items():
            joined.setdefault(name, []).append(template)
    return joined


def _of_object(wanted: _Wanted, said: Mapping[str, Any]) -> Iterator[Finding]:
    if said.get("createable") is False or said.get("updateable") is False:
        yield Finding(
            f"object {wanted.object}",
            ok=False,
            said="records can't be created and updated",
            remedy=f"Give {_RIGHTS} the rights Create and Edit on {wanted.object}.",
        )
    else:
        yield Finding(f"object {wanted.object}", ok=True, said="records can be created and updated")


def _of_fields(wanted: _Wanted, said: Mapping[str, Any]) -> Iterator[Finding]:
    fields = {str(one.get("name")).casefold(): one for one in said["fields"] if isinstance(one, dict)}
    what = f"field {wanted.external_id} of {wanted.object}"
    yield _external_id(what, fields.get(wanted.external_id.casefold()))
    for name, templates in wanted.templates.items():
        yield _field(f"field {name} of {wanted.object}", fields.get(name.casefold()), templates)
    if wanted.lookup:
        yield _lookup(wanted, fields.values())
    filled = {name.casefold() for name in (*wanted.templates, wanted.external_id)}
    yield from _unfilled(wanted, filled, fields)


def _external_id(what: str, field: Mapping[str, Any] | None) -> Finding:
    remedy = (
        "Make it a text field of up to 255 characters with External ID and Unique, and let the bridge's user edit it."
    )
    if field is None:
        return Finding(what, ok=False, said=f"it does not exist, or {_RIGHTS} may not see it", remedy=remedy)
    lacks = [word for word, key in (("External ID", "externalId"), ("Unique", "unique")) if not field.get(key)]
    if lacks:
        return Finding(what, ok=False, said=f"it is not {' and not '.join(lacks)}", remedy=remedy)
    if not (field.get("createable") and field.get("updateable")):
        return Finding(what, ok=False, said=f"{_RIGHTS} may not write it", remedy=remedy)
    return Finding(what, ok=True, said="an external id, and unique")


def _field(what: str, field: Mapping[str, Any] | None, templates: Iterable[str]) -> Finding:
    if field is None:
        said = f"it does not exist, or {_RIGHTS} may not see it"
        return Finding(
            what, ok=False, said=said, remedy=f"Correct the mapping, or make the field and let {_RIGHTS} edit it."
        )
    if not (field.get("createable") and field.get("updateable")):
        remedy = f"Let {_RIGHTS} edit the field, or map another one; a formula can't be written."
        return Finding(what, ok=False, said=f"{_RIGHTS} may not write it", remedy=remedy)
    for template in templates:
        if fault := _value_fault(field, template):
            return Finding(what, ok=False, said=fault[0], remedy=fault[1])
    return Finding(what, ok=True, said=f"can be written ({field.get('type')})")


def _value_fault(field: Mapping[str, Any], template: str) -> tuple[str, str] | None:
    """Say what is wrong with the values that a template makes, as far as it can be told without a learner."""
    named = placeholders(template)
    if field.get("type") == "date" and not _MOMENTS.isdisjoint(named):
        return "it holds a date, and the mapping gives a date with its time", "Make it a Date/Time field."
    if named:
        return None
    if field.get("restrictedPicklist"):
        values = {str(one.get("value")) for one in field.get("picklistValues") or () if one.get("active", True)}
        several = field.get("type") == "multipicklist"
        lacking = [one for one in (template.split(";") if several else [template]) if one.strip() not in values]
        if lacking:
            return (
                f"its restricted picklist does not have {', '.join(lacking)}",
                "Add the value to the picklist, or write one that it has.",
            )
    length = field.get("length") or 0
    if field.get("type") in _TEXTS and 0 < length < len(template):
        return (
            f"it takes {length} characters, and the mapping has {len(template)}",
            "Make it longer, or the text shorter.",
        )
    return None


def _lookup(wanted: _Wanted, fields: Iterable[Mapping[str, Any]]) -> Finding:
    what = f"lookup {wanted.lookup} of {wanted.object}"
    remedy = (
        "Set registration.contact to the API name of the object's lookup to Contact, and let the bridge's user edit it."
    )
    for field in fields:
        if str(field.get("relationshipName") or "").casefold() != wanted.lookup.casefold():
            continue
        if "Contact" not in (field.get("referenceTo") or ()):
            return Finding(what, ok=False, said="it leads to another object", remedy=remedy)
        if not field.get("createable"):
            return Finding(what, ok=False, said=f"{_RIGHTS} may not write it", remedy=remedy)
        if not field.get("updateable"):
            said = "a learner who moves to another contact can't be followed: it can be written once only"
            return Finding(what, ok=False, said=said, remedy="Allow reparenting in the field's settings.")
        return Finding(what, ok=True, said="leads to Contact")
    return Finding(what, ok=False, said="it does not exist", remedy=remedy)


def _unfilled(wanted: _Wanted, filled: set[str], fields: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for key, field in fields.items():
        required = field.get("createable") and field.get("nillable") is False and not field.get("defaultedOnCreate")
        given = key in filled or field.get("name") == NAME or field.get("relationshipName") == wanted.lookup != ""
        if required and not given:
            yield Finding(
                f"field {field.get('name')} of {wanted.object}",
                ok=False,
                said="Salesforce requires it of a new record, and nothing fills it",
                remedy="Map the field, or make it optional.",
            )


def _of_limits(said: Any, stop_at: int) -> Finding:
    daily = said.get("DailyApiRequests") if isinstance(said, dict) else None
    most, left = (daily.get("Max"), daily.get("Remaining")) if isinstance(daily, dict) else (None, None)
    what = "API requests of the day"
    if not isinstance(most, int) or not isinstance(left, int) or most <= 0:
        return Finding(what, ok=True, said="Salesforce does not say")
    used = f"{most - left} of {most} are used"
    if (most - left) * 100 >= most * stop_at:
        remedy = "Find what else uses the API so much, or raise stop_at; the bridge goes on by itself when requests are free."
        return Finding(what, ok=False, said=f"{used}; the bridge pauses at {stop_at} %", remedy=remedy)
    return Finding(what, ok=True, said=used)
