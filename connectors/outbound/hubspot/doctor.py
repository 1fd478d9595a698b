"""What ``bridge doctor`` looks at in a HubSpot account, and what ``--fix`` makes there: properties, and their group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bridge.contract.outbound import Finding
from bridge.kit.http import Answer
from connectors.outbound.hubspot.answers import ERRORS, dicts, problem, results, shown
from connectors.outbound.hubspot.api import Api, Kind
from connectors.outbound.hubspot.settings import HubspotCourse, HubspotSettings
from connectors.outbound.hubspot.wanted import (
    Stage,
    fixed_pipelines,
    fixed_stages,
    fixed_values,
    properties_of,
    templates_of,
    type_of,
)

_GROUP, _GROUP_LABEL = "registration_bridge", "Registration bridge"
_FIX = "Run `bridge doctor --fix`, which creates it, or correct the mapping."
_MOST_NAMED = 15  # of a list of options
_RESERVED = "hs_"

Row = Mapping[str, Any]


class Doctor:
    """One look at one account."""

    def __init__(self, settings: HubspotSettings, api: Api, *, fix: bool) -> None:
        """Take what is wanted there, and the way there."""
        self._settings = settings
        self._api = api
        self._fix = fix

    async def findings(self, courses: Sequence[HubspotCourse]) -> list[Finding]:
        """Return one finding for each thing looked at."""
        found = [await self._may_read("contacts")]
        found += [one async for one in self._kind("contacts", courses)]
        if templates := templates_of(self._settings, courses, "deals"):
            found += [await self._may_read("deals")]
            found += [one async for one in self._kind("deals", courses)]
            found += [one async for one in self._pipelines(templates, courses)]
        return found

    async def _may_read(self, kind: Kind) -> Finding:
        answer = await self._api.send("GET", self._api.objects(kind), params={"limit": "1"})
        scope = f"crm.objects.{kind}.read"
        return _granted(scope) if results(answer) is not None else _not_read(answer, scope, f"records of {kind}")

    async def _kind(self, kind: Kind, courses: Sequence[HubspotCourse]) -> AsyncIterator[Finding]:
        """Look at the definitions of every mapped property; one request lists them all."""
        answer = await self._api.send("GET", self._api.properties(kind))
        scope = f"crm.schemas.{kind}.read"
        rows = results(answer)
        if rows is None:
            yield _not_read(answer, scope, f"properties of {kind}")
            return
        yield _granted(scope)
        defined = {str(row.get("name")): row for row in rows if not row.get("archived")}
        mapped = properties_of(templates_of(self._settings, courses, kind))
        if kind == "deals":
            yield await self._key(defined)
        for name, templates in mapped.items():
            if (row := defined.get(name)) is None:
                yield await self._missing(kind, name, templates)
                continue
            yield _property(kind, name, row)
            for finding in _options(kind, row, fixed_values(name, templates)):
                yield finding

    async def _key(self, defined: Mapping[str, Row]) -> Finding:
        """Look at the property that tells deals apart."""
        name = self._settings.deal_key
        if (row := defined.get(name)) is None:
            return await self._missing("deals", name, ["{key}"], unique=True)
        finding = _property("deals", name, row)
        if not finding.ok or row.get("hasUniqueValue") is True:
            return finding
        remedy = "HubSpot can't change that later: name a property in `deal_key` that is not there yet, and run `bridge doctor --fix`."
        return Finding(finding.what, ok=False, said="its values need not be unique", remedy=remedy)

    async def _missing(self, kind: Kind, name: str, templates: Sequence[str], *, unique: bool = False) -> Finding:
        what = f"property {name} of {kind}"
        if name.startswith(_RESERVED):
            return Finding(
                what,
                ok=False,
                said="it does not exist",
                remedy="Correct the name: HubSpot alone makes properties that begin with hs_.",
            )
        if not self._fix:
            return Finding(what, ok=False, said="it does not exist", remedy=_FIX, fixable=True)
        sort, field = type_of(templates)
        wanted: dict[str, Any] = {
            "name": name,
            "label": _label(name),
            "type": sort,
            "fieldType": field,
            "groupName": _GROUP,
        }
        if unique:
            wanted |= {"hasUniqueValue": True, "description": "Tells the deals of the registration bridge apart."}
        refused = await self._make(kind, "groups", {"name": _GROUP, "label": _GROUP_LABEL}) or await self._make(
            kind, "", wanted
        )
        if refused is not None:
            remedy = _remedy(
                refused,
                f"Create the property by hand, as {sort}, or give the token the scope crm.schemas.{kind}.write.",
            )
            return Finding(what, ok=False, said=f"it could not be created{shown(refused)}", remedy=remedy)
        return Finding(what, ok=True, said=f"created as {sort}", fixable=True)

    async def _make(self, kind: Kind, below: str, wanted: Mapping[str, Any]) -> Answer | None:
        """Create a property or a group, unless it is there; return the answer that refused it."""
        folder = "/".join(part for part in (self._api.properties(kind), below) if part)
        there = f"{folder}/{wanted['name']}"
        answer = await self._api.send("GET", there)
        if answer.status != 404:
            return None if answer.ok else answer
        answer = await self._api.send("POST", folder, wanted)
        if (
            answer.status == 409
        ):  # somebody was faster, unless it is one that was deleted: HubSpot keeps those for a while
            seen = await self._api.send("GET", there)
            return None if seen.ok else answer
        return None if answer.ok else answer

    async def _pipelines(
        self, templates: Sequence[Mapping[str, str]], courses: Sequence[HubspotCourse]
    ) -> AsyncIterator[Finding]:
        pipelines, stages = fixed_pipelines(templates), fixed_stages(self._settings, courses)
        if not pipelines and not stages:
            return
        answer = await self._api.send("GET", self._api.pipelines)
        rows = results(answer)
        if rows is None:
            yield _not_read(answer, "crm.schemas.deals.read", "pipelines of deals")
            return
        known = {str(row.get("id")): row for row in rows if not row.get("archived")}
        for name in pipelines:
            yield _listed(f"pipeline {name}", name, known.values(), "[targets.NAME.deal] or what names it")
        for stage in stages:
            if stage.pipeline in known or stage.pipeline not in pipelines:  # else the pipeline is the one that is wrong
                yield _stage(stage, known)


def _granted(scope: str) -> Finding:
    return Finding(f"scope {scope}", ok=True, said="HubSpot answers what it covers")


def _not_read(answer: Answer, scope: str, what: str) -> Finding:
    """Return the finding of a list that HubSpot does not show."""
    if answer.status == 403:
        missing = ", ".join(problem(answer).scopes or [scope])
        return Finding(f"scope {missing}", ok=False, said=f"{what}{shown(answer)}", remedy=ERRORS["scopes"].next_step)
    return Finding(
        what, ok=False, said=f"they could not be read{shown(answer)}", remedy=_remedy(answer, "Try again later.")
    )


def _remedy(answer: Answer, otherwise: str) -> str:
    if answer.status == 403:
        return ERRORS["scopes"].next_step
    return ERRORS["wrong-address"].next_step if answer.status in (404, 405) else otherwise


def _property(kind: Kind, name: str, row: Row) -> Finding:
    what = f"property {name} of {kind}"
    metadata = row.get("modificationMetadata")
    read_only = metadata.get("readOnlyValue") if isinstance(metadata, dict) else False
    if read_only or row.get("calculated"):
        remedy = "Take it out of the mapping, or map a property of your own in its place."
        return Finding(what, ok=False, said="HubSpot lets nobody write it", remedy=remedy)
    return Finding(what, ok=True, said=str(row.get("type") or ""))


def _options(kind: Kind, row: Row, values: Iterable[str]) -> Iterator[Finding]:
    """Look at values that are sent as they are written to a property with a list of options."""
    options = dicts(row.get("options"))
    if row.get("type") != "enumeration" or row.get("externalOptions"):
        return
    several = row.get("fieldType") == "checkbox"
    for value in values:
        for one in value.split(";") if several else [value]:
            what = f"option {one} of property {row.get('name')} of {kind}"
            if any(str(option.get("value")) == one for option in options):
                yield Finding(what, ok=True)
            else:
                names = _named((option.get("value"), option.get("label")) for option in options)
                remedy = f"Use one of the options ({names}), or add it to the property at HubSpot."
                yield Finding(what, ok=False, said="it is not among the options", remedy=remedy)


def _stage(stage: Stage, pipelines: Mapping[str, Row]) -> Finding:
    if stage.pipeline is None or stage.pipeline not in pipelines:
        everywhere = [one for row in pipelines.values() for one in dicts(row.get("stages"))]
        return _listed(f"deal stage {stage.name}", stage.name, everywhere, "what names it")
    what = f"deal stage {stage.name} of pipeline {stage.pipeline}"
    return _listed(what, stage.name, dicts(pipelines[stage.pipeline].get("stages")), "what names it")


def _listed(what: str, name: str, rows: Iterable[Row], where: str) -> Finding:
    there = [row for row in rows if not row.get("archived")]
    for row in there:
        if str(row.get("id")) == name:
            return Finding(what, ok=True, said=str(row.get("label") or ""))
    names = _named((row.get("id"), row.get("label")) for row in there) or "none"
    return Finding(what, ok=False, said="it does not exist", remedy=f"Correct {where}; there are {names}.")


def _named(pairs: Iterable[tuple[Any, Any]]) -> str:
    names = [f"{name} ({label})" if label and label != name else str(name) for name, label in pairs]
    return ", ".join([*names[:_MOST_NAMED], *(["..."] if len(names) > _MOST_NAMED else [])])


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
