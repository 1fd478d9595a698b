"""What went wrong, as RFC 9457 says it: ``application/problem+json``."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class FieldFault(BaseModel):
    """What is wrong with one argument. ``field``: its path, as in ``ids.0``; empty for the body as a whole."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a call was not done: a problem detail (RFC 9457). ``type`` is ``about:blank``: the status says what kind it is."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    type: str = "about:blank"
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(default="", description="what is wrong, and what to do")
    errors: list[FieldFault] = Field(default=[], description="by argument, where single ones are to blame")


class Refused(Exception):
    """The call is not done."""

    def __init__(self, status: int, detail: str = "", errors: Sequence[FieldFault] = (), **headers: str) -> None:
        """Keep what is to be answered; ``headers`` with ``_`` for ``-``."""
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(detail)


def faults_of(fault: ValidationError) -> list[FieldFault]:
    """Return what is wrong with which argument. What was sent is not repeated."""
    errors = fault.errors(include_url=False, include_input=False, include_context=False)
    # Of a list with a wrong entry pydantic also says that it is too short without it.
    parents = {error["loc"][:end] for error in errors for end in range(len(error["loc"]))}
    return [
        FieldFault(field=".".join(str(part) for part in error["loc"]), message=error["msg"])
        for error in errors
        if error["loc"] not in parents
    ]


def answered(refused: Refused) -> web.Response:
    """Return the answer to a call that is not done."""
    told = Problem(
        title=HTTPStatus(refused.status).phrase, status=refused.status, detail=refused.detail, errors=refused.errors
    )
    return as_json(told.model_dump(mode="json"), refused.status, "application/problem+json", refused.headers)


def as_json(
    told: Any, status: int = 200, content_type: str = "application/json", headers: dict[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON that nobody keeps."""
    kept = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return web.Response(body=orjson.dumps(told), status=status, content_type=content_type, headers=kept)
