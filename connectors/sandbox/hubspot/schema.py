"""The account's own: properties of contacts and deals with their groups, and the pipelines of deals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from connectors.sandbox.hubspot.bodies import Kind, Refusal, body_of, not_valid, now

_CREATED = "2026-01-05T09:00:00.000Z"
_FIELDS = {"string": "text", "number": "number", "date": "date", "datetime": "date", "bool": "booleancheckbox"}
_CONTACT = (
    "email",
    "firstname",
    "lastname",
    "phone",
    "company",
    "jobtitle",
    "country",
    "last_course",
    "last_course_state",
)
_MOST_UNIQUE = 10


def options(*values: str) -> list[dict[str, Any]]:
    """Return options of a list, as HubSpot shows them."""
    return [
        {"label": value.capitalize(), "value": value, "hidden": False, "displayOrder": n}
        for n, value in enumerate(values)
    ]


def _pipeline(name: str, label: str, *stages: str) -> dict[str, Any]:
    common = {"createdAt": _CREATED, "updatedAt": _CREATED, "archived": False}
    rows = [{"id": one, "label": one.capitalize(), "displayOrder": n, **common} for n, one in enumerate(stages)]
    return {"id": name, "label": label, "displayOrder": 0, "stages": rows, **common}


class Schema:
    """What records may hold.

    Attributes:
        defined: kind -> name -> definition of a property, as HubSpot shows it.
        deleted: names of properties that were deleted and can't be made again yet, by kind.
        groups: kind -> name -> label.
        pipelines: of deals.
    """

    def __init__(self) -> None:
        """Start with what a new account has, and with what `bridge doctor --fix` has made for deals."""
        self.defined: dict[Kind, dict[str, dict[str, Any]]] = {"contacts": {}, "deals": {}}
        self.deleted: dict[Kind, set[str]] = {"contacts": set(), "deals": set()}
        self.groups: dict[Kind, dict[str, str]] = {
            "contacts": {"contactinformation": "Contact information"},
            "deals": {"dealinformation": "Deal information"},
        }
        self.pipelines = [
            _pipeline("default", "Sales pipeline", "appointmentscheduled", "contractsent", "closedwon", "closedlost"),
            _pipeline("education", "Education", "enrolled", "finished"),
        ]
        for name in _CONTACT:
            self.define("contacts", name)
        self.define("contacts", "lifecyclestage", "enumeration", options=options("lead", "customer"))
        self.define("contacts", "createdate", "datetime", read_only=True)
        self.define("deals", "hs_lastmodifieddate", "datetime", read_only=True)
        for name, sort in (
            ("dealname", "string"),
            ("amount", "number"),
            ("closedate", "datetime"),
            ("description", "string"),
        ):
            self.define("deals", name, sort)
        self.define("deals", "bridge_registration_key", unique=True)
        self.define("deals", "pipeline", "enumeration")
        self.define("deals", "dealstage", "enumeration")
        self.define("deals", "dealtype", "enumeration", options=options("newbusiness", "existingbusiness"))

    def define(
        self,
        kind: Kind,
        name: str,
        sort: str = "string",
        *,
        unique: bool = False,
        read_only: bool = False,
        options: Iterable[Mapping[str, Any]] = (),
        **more: Any,
    ) -> dict[str, Any]:
        """Make a property and return its definition."""
        self.defined[kind][name] = {
            "name": name,
            "label": name.capitalize(),
            "type": sort,
            "fieldType": _FIELDS.get(sort, "select"),
            "groupName": next(iter(self.groups[kind])),
            "description": "",
            "options": list(options),
            "hasUniqueValue": unique,
            "archived": False,
            "createdAt": now(),
            "updatedAt": now(),
            "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": read_only},
            **more,
        }
        return self.defined[kind][name]

    def is_unique(self, kind: Kind, name: str) -> bool:
        """Whether records may be found by this property."""
        if name not in self.defined[kind]:
            raise Refusal(400, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        return (kind, name) == ("contacts", "email") or bool(self.defined[kind][name]["hasUniqueValue"])

    def unknown(self, kind: Kind, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return a fault for each name that no property has."""
        return [
            {
                "isValid": False,
                "message": f'Property "{name}" does not exist',
                "error": "PROPERTY_DOESNT_EXIST",
                "name": name,
            }
            for name in names
            if name not in self.defined[kind]
        ]

    def validate(self, kind: Kind, properties: Mapping[str, str]) -> None:
        """Refuse values that a property can't have."""
        for name, value in properties.items():
            definition = self.defined[kind][name]
            if definition["modificationMetadata"]["readOnlyValue"]:
                raise not_valid(f'"{name}" is a read only property', "READ_ONLY_VALUE", name)
            known = {one["value"] for one in definition["options"]}
            if known and value and value not in known:
                raise not_valid(f"{value} was not one of the allowed options", "INVALID_OPTION", name)
        if kind == "deals":
            self._validate_stage(properties)

    def _validate_stage(self, properties: Mapping[str, str]) -> None:
        stages = {one["id"]: [stage["id"] for stage in one["stages"]] for one in self.pipelines}
        pipeline, stage = properties.get("pipeline"), properties.get("dealstage")
        if pipeline is not None and pipeline not in stages:
            raise not_valid(f"{pipeline} is not a valid pipeline ID", "INVALID_OPTION", "pipeline")
        allowed = stages[pipeline] if pipeline is not None else [one for several in stages.values() for one in several]
        if stage is not None and stage not in allowed:
            raise not_valid(f"{stage} is not a valid pipeline stage ID", "INVALID_OPTION", "dealstage")

    async def list_properties(self, request: web.Request) -> web.Response:
        """Show every property of a kind."""
        return web.json_response({"results": list(self.defined[kind_of(request)].values())})

    async def show_property(self, request: web.Request) -> web.Response:
        """Show one."""
        found = self.defined[kind_of(request)].get(request.match_info["name"])
        if found is None:
            raise Refusal(404, "OBJECT_NOT_FOUND", "property not found")
        return web.json_response(found)

    async def create_property(self, request: web.Request) -> web.Response:
        """Make one; its group has to be there, and its name must be free."""
        kind, body = kind_of(request), await body_of(request)
        if missing := [name for name in ("name", "label", "type", "fieldType", "groupName") if not body.get(name)]:
            raise Refusal(400, "VALIDATION_ERROR", f"Required properties are missing: {missing}")
        if body["name"] in self.defined[kind] or body["name"] in self.deleted[kind]:
            raise Refusal(409, "CONFLICT", f"Property named '{body['name']}' already exists")
        if body["groupName"] not in self.groups[kind]:
            raise Refusal(400, "VALIDATION_ERROR", f"Property group {body['groupName']} does not exist")
        unique = [one for one in self.defined[kind].values() if one["hasUniqueValue"]]
        if body.get("hasUniqueValue") and len(unique) >= _MOST_UNIQUE:
            raise Refusal(400, "VALIDATION_ERROR", f"No more than {_MOST_UNIQUE} unique properties are allowed")
        made = self.define(kind, body["name"])
        made.update({name: value for name, value in body.items() if name in made})
        return web.json_response(made, status=201)

    async def list_groups(self, request: web.Request) -> web.Response:
        """Show every group of properties of a kind."""
        return web.json_response({"results": [_group(*one) for one in self.groups[kind_of(request)].items()]})

    async def show_group(self, request: web.Request) -> web.Response:
        """Show one."""
        name = request.match_info["name"]
        if (label := self.groups[kind_of(request)].get(name)) is None:
            raise Refusal(404, "OBJECT_NOT_FOUND", "group not found")
        return web.json_response(_group(name, label))

    async def create_group(self, request: web.Request) -> web.Response:
        """Make one."""
        groups, body = self.groups[kind_of(request)], await body_of(request)
        if body.get("name") in groups:
            raise Refusal(409, "CONFLICT", "a group with this name exists")
        groups[body["name"]] = body["label"]
        return web.json_response(_group(body["name"], body["label"]), status=201)

    async def list_pipelines(self, _: web.Request) -> web.Response:
        """Show the pipelines of deals with their stages."""
        return web.json_response({"results": self.pipelines})


def kind_of(request: web.Request) -> Kind:
    """Return what kind of records a request is about."""
    return "deals" if request.match_info.get("kind") == "deals" else "contacts"


def _group(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "displayOrder": -1, "archived": False}
