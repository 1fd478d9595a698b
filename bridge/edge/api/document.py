"""The OpenAPI document: made of the same models and addresses that answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from bridge import __version__
from bridge.edge.api.acts import ACTS
from bridge.edge.api.endpoint import Endpoint
from bridge.edge.api.problem import Problem
from bridge.edge.api.reads import READS
from bridge.edge.api.systems import SYSTEMS

ENDPOINTS: Final[Sequence[Endpoint]] = (*READS, *SYSTEMS, *ACTS)
PREFIX: Final = "/admin/api/v1"

_REF: Final = "#/components/schemas/{model}"
_FAULTS: Final = {
    "400": "The body is no JSON.",
    "401": "No token that counts was sent.",
    "403": "The token's role does not allow it.",
    "404": "What the address names is not there.",
    "405": "The address knows no such method.",
    "413": "The body is longer than 64 KiB, or comes too slowly.",
    "422": "The arguments are not as they should be, or it can't be done as asked.",
    "429": "Too many wrong tokens came from there.",
    "503": "The ledger can't be reached; try again.",
}
_ABOUT: Final = (
    "The operator's actions and questions as JSON. Tokens stand in [admin.tokens] of bridge.toml. What is said of"
    " learners is masked unless an operator's token asks with `reveal=true`. Every changing call takes `dry_run=true`."
    " Actions bring the ledger to a level and may be repeated: what is so already is left as it is."
)


@cache
def document() -> dict[str, Any]:
    """Return the document, as OpenAPI 3.1 has it."""
    schemas, definitions = models_json_schema(sorted(_models(), key=_name), ref_template=_REF)
    known = {(model, mode): schema["$ref"] for (model, mode), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for one in ENDPOINTS:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Registration bridge, admin API", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models() -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    yield Problem, "serialization"
    for answer in {one.answer for one in ENDPOINTS}:
        yield answer, "serialization"
    for body in {one.body for one in ENDPOINTS}:
        if body is not None:
            yield body, "validation"


def _name(item: tuple[Any, JsonSchemaMode]) -> str:
    return str(item[0].__name__)


def _operation(one: Endpoint, known: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.path.split("/")[1]],
        "parameters": [*_in_path(one.path), *_in_query(one)],
        "responses": {
            "200": {"description": "Done.", "content": _json({"$ref": known[one.answer, "serialization"]})},
            **_refusals(one, known[Problem, "serialization"]),
        },
    }
    if one.operates:
        told["description"] = "For tokens with the role operator."
    if one.body is not None:
        required = any(field.is_required() for field in one.body.model_fields.values())
        told["requestBody"] = {"required": required, "content": _json({"$ref": known[one.body, "validation"]})}
    return told


def _refusals(one: Endpoint, ref: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": ref}}}
    unused = set() if one.body is not None else {"400", "413"}
    return {
        status: {"description": words, "content": content} for status, words in _FAULTS.items() if status not in unused
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        schema = {"type": "integer", "minimum": 1} if name.endswith("_id") else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(one: Endpoint) -> Iterator[dict[str, Any]]:
    schema = one.query.model_json_schema(ref_template=_REF)
    definitions = schema.get("$defs", {})
    for name, described in schema.get("properties", {}).items():
        inlined = _inlined(described, definitions)
        words = inlined.pop("description", None)
        yield {
            "name": name,
            "in": "query",
            "required": False,
            **({"description": words} if words else {}),
            "schema": inlined,
        }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a query's schema with what it refers to in place: a word of a query is no component."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(one, definitions) for name, one in schema.items()}
