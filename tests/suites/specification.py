"""What a vendor's specification says of a request and its answer: every exchange with its emulator is held against it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from bridge.kit.sandbox import Recorded

FOLDER = Path(__file__).resolve().parents[1] / "payloads" / "specifications"
_FREE_FORM = re.compile(r"\{[^}]*\}")
_DATED = re.compile(r"/crm/(objects|properties|pipelines|associations)/\d{4}-\d{2}/(.+)")
_METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True)
class Operation:
    """One address of a specification, with one method."""

    path: str
    method: str
    said: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path of this address looks like."""
        parts = [re.escape(part) for part in _FREE_FORM.split(self.path)]
        return re.compile("[^/]+".join(parts))

    def request_faults(self, seen: Recorded) -> list[str]:
        """Say what the specification does not know of a request."""
        parameters = [self._resolved(one) for one in self.said.get("parameters", ())]
        query = {one["name"]: one for one in parameters if one["in"] == "query"}
        faults = [f"query parameter {name}" for name in seen.query if name not in query]
        faults += [f"missing {name}" for name, one in query.items() if one.get("required") and name not in seen.query]
        schema = self._body_schema(parameters)
        if schema is None:
            return [*faults, *(["a body where none belongs"] if seen.body else [])]
        if not seen.body:
            return [*faults, "no body"]
        return [*faults, *self._faults(schema, seen.json), *self._strange(schema, seen.json)]

    def answer_faults(self, status: int, body: bytes) -> list[str]:
        """Say what the specification does not know of an answer; one without a schema may say anything."""
        responses = self.said["responses"]
        said = responses.get(str(status), responses.get("default"))
        if said is None:
            return [f"status {status}"] if status < 400 else []
        said = self._resolved(said)
        content = said.get("content", {})
        schema = said.get("schema") or next((one.get("schema") for one in content.values()), None)
        if schema is None:
            return ["a body where none belongs"] if body and status < 300 else []
        return self._faults(schema, orjson.loads(body)) if body else ["no body"]

    def _body_schema(self, parameters: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        if "requestBody" in self.said:
            content = self._resolved(self.said["requestBody"])["content"]
            return content["application/json"]["schema"]  # type: ignore[no-any-return]
        return next((one["schema"] for one in parameters if one["in"] == "body"), None)

    def _resolved(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in given:
            found: Any = self.document
            for step in given["$ref"].removeprefix("#/").split("/"):
                found = found[unquote(step)]
            given = found
        return given

    def _faults(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        resource = Resource(contents={**self.document, "$schema": ""}, specification=DRAFT4)
        registry = Registry().with_resource("urn:specification", resource)
        absolute = _absolute(schema)
        found = OAS30Validator(absolute, registry=registry).iter_errors(value)
        return [f"{'/'.join(map(str, fault.absolute_path)) or 'body'}: {fault.message[:200]}" for fault in found]

    def _strange(self, schema: Mapping[str, Any], value: Any, at: str = "body") -> list[str]:
        """Say which fields of an object the specification does not name: validators let them pass."""
        schema = self._resolved(schema)
        if isinstance(value, list):
            return [
                fault
                for index, item in enumerate(value)
                for fault in self._strange(schema.get("items", {}), item, f"{at}/{index}")
            ]
        if not isinstance(value, dict) or "properties" not in schema:
            return []
        named = schema["properties"]
        free = schema.get("additionalProperties")
        faults = [f"{at}/{name} is no field" for name in value if name not in named and not isinstance(free, dict)]
        for name, inner in value.items():
            if name in named:
                faults += self._strange(named[name], inner, f"{at}/{name}")
        return faults


def _absolute(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: f"urn:specification{inner}" if key == "$ref" and isinstance(inner, str) else _absolute(inner)
            for key, inner in value.items()
        }
    return [_absolute(inner) for inner in value] if isinstance(value, list) else value


class Specification:
    """Some of a vendor's specification files, as one."""

    def __init__(self, *names: str) -> None:
        """Read the files of these names."""
        self._operations = [one for name in names for one in _operations(name)]

    def operation(self, method: str, path: str) -> Operation | None:
        """Return what a request is, the address with the fewest free parts first; None when nothing knows it."""
        found = [
            one for one in self._operations if one.method == method.lower() and one.pattern.fullmatch(path) is not None
        ]
        return min(found, key=lambda one: one.path.count("{"), default=None)

    def faults(self, seen: Recorded, status: int, body: bytes) -> list[str]:
        """Say what is wrong with an exchange; a refused request need not be right, but its refusal has to be."""
        operation = self.operation(seen.method, undated(seen.path))
        if operation is None:
            return [f"{seen.method} {seen.path}: no such address"]
        asked = operation.request_faults(seen) if status < 400 else []
        return [
            f"{seen.method} {operation.path}: {fault}" for fault in [*asked, *operation.answer_faults(status, body)]
        ]


def undated(path: str) -> str:
    """Return an address of HubSpot's date versions as the version with a number, which the files are of, spells it.

    Only the addresses differ (facts ``outbound/hubspot.md``, section 0); whatever else is held against the same schema.
    """
    dated = _DATED.fullmatch(path)
    if dated is None:
        return path
    version = "v4" if dated[1] == "associations" or "/associations/" in dated[2] else "v3"
    return f"/crm/{version}/{dated[1]}/{dated[2]}"


@lru_cache
def _operations(name: str) -> list[Operation]:
    document = orjson.loads((FOLDER / name).read_bytes())
    base = document.get("basePath", "")
    return [
        Operation(
            base + path,
            method,
            {**said, "parameters": [*shared.get("parameters", ()), *said.get("parameters", ())]},
            document,
        )
        for path, shared in document["paths"].items()
        for method, said in shared.items()
        if method in _METHODS
    ]
