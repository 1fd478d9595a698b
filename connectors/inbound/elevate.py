"""The Elevate Registration API and Cancellation API, as a server.

A caller that posts to Elevate LMS today posts to the bridge by changing only the host. Authentication: ``api_key`` in
the JSON body, one key for registrations and cancellations. Neither protocol has an id of the occurrence, so commands
carry no event key and a repeat is decided by the live registration.

A success answers ``product_url`` and ``registration_id``, a problem ``error_messages`` by field. The vendor publishes
no status codes; ours are those of docs/connecting.md. A body may also be a list of registrations with one key: it is
accepted or refused as a whole, and its answer is the list of the single answers in order. The faults of a list are
named by place, as in ``1.email``, counted from 0.

Sources: the vendor's pages "Elevate Registration API" and "Registration API" (seeds 001 and 002).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import AcceptedLine, InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Secrets, SourceSettings
from bridge.kit.signatures import any_same

_REGISTRATIONS = "/api/registrations"
_CANCELLATIONS = ("/registrations/cancel", "/api/registrations/cancel")

_WRONG = object()
"""Stands for a value of the wrong kind, so that the command's own validation names it with all other faults."""

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LARGEST_ID = 2**63 - 1
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12}")

_FIELDS = {  # where a fault stands in the command -> the field of the protocol
    ("learner", "remote_user_id"): "remote_user_id",
    ("learner", "email"): "email",
    ("learner", "first_name"): "firstname",
    ("learner", "last_name"): "lastname",
    ("items", 0, "remote_product_id"): "remote_product_id",
    ("items", 0, "amount_paid"): "amount_paid",
    ("options", "send_email"): "send_email",
    ("registration_id",): "registration_id",
    ("options", "cancellation", "admin_email"): "cancellations_email",
    ("options", "cancellation", "admin_text"): "cancellation_explanation",
    ("options", "cancellation", "notify_learner"): "notify_cancelled_user",
    ("options", "cancellation", "learner_text"): "cancellation_explanation_for_user",
}
_REQUIRED = frozenset({"remote_user_id", "email", "remote_product_id", "registration_id"})
_EXPECTED = {
    "remote_user_id": "must be a whole number, or text of at most 500 characters",
    "email": "must be an e-mail address",
    "firstname": "must be text of at most 500 characters",
    "lastname": "must be text of at most 500 characters",
    "remote_product_id": "must be a whole number, or text of at most 500 characters",
    "amount_paid": "must be a number of 0 or more, with a point before the decimals, such as 49.90",
    "send_email": "must be true or false",
    "registration_id": "must be the whole number that the registration was answered with",
    "cancellations_email": "must be text",
    "cancellation_explanation": "must be text",
    "notify_cancelled_user": "must be true or false",
    "cancellation_explanation_for_user": "must be text",
}

_NO_PRODUCT = {"error_messages": {"product": "The requested product could not be found."}}
_PROBLEMS: Mapping[str, tuple[int, Mapping[str, str]]] = {  # kind -> status, message by field
    "not_found": (404, {"registration": "The requested registration could not be found."}),
    "unreadable": (400, {"body": "The request body is not valid JSON."}),
    "unauthorised": (401, {"api_key": "The API key is not valid."}),
    "no_such_address": (404, {"address": "There is nothing at this address."}),
    "method_not_allowed": (405, {"method": "This address takes POST only."}),
    "too_large": (413, {"body": "The request body is too large."}),
    "invalid": (422, {"body": "The request body could not be understood."}),
    "unavailable": (503, {"server": "The call could not be kept. Please send it again later."}),
}


class ElevateSettings(SourceSettings):
    """``[sources.NAME]`` with ``adapter = "elevate"``.

    Attributes:
        api_key: what the caller puts into ``api_key``; several while it rotates.
    """

    api_key: Secrets


class Elevate:
    """Takes registrations and cancellations from an AMS."""

    Settings: ClassVar[type[SourceSettings]] = ElevateSettings
    routes: ClassVar[Sequence[Route]] = tuple(Route(("POST",), path) for path in (_REGISTRATIONS, *_CANCELLATIONS))
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = True
    user_ids: ClassVar[bool] = True
    quantities: ClassVar[bool] = False
    asks_for_mail: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset({"api_key"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "The field `remote_product_id`: the product's id in the AMS."
    setup: ClassVar[Sequence[str]] = (
        "At the AMS, set the address of the Registration API to `{host}/api/registrations`.",
        "Set the address of the Cancellation API to `{host}/registrations/cancel`.",
        "Give it the `api_key` of this source, and the id of each product as its Remote Product ID.",
    )
    unverified: ClassVar[str] = "The statuses: the vendor publishes none."

    def __init__(self, settings: ElevateSettings) -> None:
        """Take the settings of one source."""
        self._keys = tuple(key.get_secret_value() for key in settings.api_key)

    def credentials(self) -> Sequence[str]:
        """Return the keys; one call shows one of them."""
        return self._keys

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return the body's ``api_key``; of a list the one that all its members share.

        Raises:
            PayloadInvalid: the body is not JSON.
        """
        said = event.json
        if not isinstance(said, list):
            return _key(said)
        keys = {_key(entry) for entry in said}
        return keys.pop() if len(keys) == 1 else None

    def verify(self, event: InboundEvent) -> None:
        """Compare the key.

        Raises:
            SignatureInvalid: it is missing, wrong, or not the same throughout a list.
            PayloadInvalid: the body is not JSON, so that there is no key to compare.
        """
        if not any_same(self.credential(event), self._keys):
            raise SignatureInvalid("the api_key is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return one command for a registration or a cancellation, and one for each member of a list.

        Raises:
            PayloadInvalid: fields are missing or wrong; all of them are named at once.
        """
        said = event.json
        if _is_cancellation(event.path, said):
            return [_command(_cancellation(said), said, event.received_at)]
        if isinstance(said, list):
            return _registrations(said, event.received_at)
        return [_command(_registration(said), said, event.received_at)]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Answer in Elevate's words. A switched-off product is answered as one that does not exist."""
        if reception.kind in ("accepted", "unmapped", "ignored"):
            return _kept(event, reception)
        status, told = _PROBLEMS[reception.kind]
        headers = {"Retry-After": str(reception.retry_after)} if status == 503 else {}
        if status == 405:
            headers["Allow"] = "POST"
        return Response(status, {"error_messages": dict(reception.faults or told)}, headers)


_LONGEST_LIST = 100  # one call is one transaction, and other senders wait for it


def _key(said: Any) -> str | None:
    key = said.get("api_key") if isinstance(said, dict) else None
    return key if isinstance(key, str) else None


def _is_cancellation(path: str, said: Any) -> bool:
    # At a source's own address only the body can tell.
    if path in _CANCELLATIONS:
        return True
    return (
        path != _REGISTRATIONS
        and isinstance(said, dict)
        and "registration_id" in said
        and "remote_product_id" not in said
    )


def _registrations(said: Sequence[Any], at: datetime) -> list[EnrollmentCommand]:
    if len(said) > _LONGEST_LIST:
        raise PayloadInvalid(
            {"body": f"The list must hold at most {_LONGEST_LIST} registrations; send the rest in another call."}
        )
    commands: list[EnrollmentCommand] = []
    faults: dict[str, str] = {}
    for place, entry in enumerate(said):
        try:
            commands.append(_command(_registration(entry), entry, at))
        except PayloadInvalid as invalid:
            faults.update({f"{place}.{field}": text for field, text in invalid.faults.items()})
    if faults or not commands:
        raise PayloadInvalid(faults or {"body": "The list must hold at least one registration."})
    return commands


def _registration(said: Any) -> dict[str, Any]:
    said = _single(said)
    return {
        "action": Action.ENROLL,
        "learner": {
            "remote_user_id": _identifier(said.get("remote_user_id")),
            "email": _text(said.get("email")),
            "first_name": _text(said.get("firstname")),
            "last_name": _text(said.get("lastname")),
        },
        "items": [
            {
                "remote_product_id": _identifier(said.get("remote_product_id")),
                "amount_paid": _amount(said.get("amount_paid")),
            }
        ],
        "options": {"send_email": _flag(said.get("send_email"), absent=False)},
    }


def _cancellation(said: Any) -> dict[str, Any]:
    said = _single(said)
    texts = {
        "admin_email": _text(said.get("cancellations_email")) or None,
        "admin_text": _text(said.get("cancellation_explanation")) or None,
        "notify_learner": _flag(said.get("notify_cancelled_user"), absent=None),
        "learner_text": _text(said.get("cancellation_explanation_for_user")) or None,
    }
    return {
        "action": Action.CANCEL,
        "registration_id": _registration_id(said.get("registration_id")),
        "options": {"cancellation": texts},
    }


def _single(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise PayloadInvalid({"body": "The request body must be a JSON object."})
    return said


def _command(values: dict[str, Any], said: Mapping[str, Any], at: datetime) -> EnrollmentCommand:
    values["occurred_at"] = at
    try:
        return EnrollmentCommand.model_validate(values)
    except ValidationError as error:
        raise PayloadInvalid(_faults(error, said)) from None


def _faults(error: ValidationError, said: Mapping[str, Any]) -> dict[str, str]:
    faults = {}
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        field = _FIELDS[wrong["loc"]]
        missing = field in _REQUIRED and _text(said.get(field)) == ""
        faults[field] = f"The {field} field {'is required' if missing else _EXPECTED[field]}."
    return faults


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and "\0" not in value:  # no database keeps a NUL
        return value.strip()
    return _WRONG


def _identifier(value: Any) -> Any:
    return str(value) if type(value) is int else _text(value)


def _registration_id(value: Any) -> Any:
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else _WRONG
    return value if type(value) is int and value <= _LARGEST_ID else _WRONG


def _amount(value: Any) -> Any:
    text = _plain(value) if type(value) is float else _identifier(value)
    if text == "":
        return None
    return Decimal(text) if text is not _WRONG and _PRICE.fullmatch(text) else _WRONG


def _plain(value: float) -> str:
    # Arithmetic at the sender leaves crumbs such as -5.7e-14 where nothing was paid; adding 0.0 takes the sign from -0.0.
    return format(Decimal(str(round(value, 6) + 0.0)), "f")


def _flag(value: Any, *, absent: bool | None) -> Any:
    if isinstance(value, bool):
        return value
    text = _identifier(value)
    if text == "":
        return absent
    return _WRONG if text is _WRONG else _FLAGS.get(text.lower(), _WRONG)


def _kept(event: InboundEvent, reception: Reception) -> Response:
    said = event.json
    if reception.kind == "accepted" and _is_cancellation(event.path, said):
        return Response(200, {"success": True})
    lines = deque(reception.lines if reception.kind == "accepted" else ())
    status = 200 if lines else 422
    if isinstance(said, list):
        return Response(status, _answers(said, lines))
    return Response(status, _registered(lines[0]) if lines else _NO_PRODUCT)


def _answers(said: Sequence[Any], lines: deque[AcceptedLine]) -> list[Mapping[str, Any]]:
    """Give each member of a list its line.

    Lines come in the order of the commands, without those that wait in quarantine; a member that only repeats an
    earlier one may have its line or share the earlier one's, and must never get that of the next learner.
    """
    told: dict[tuple[str, str], AcceptedLine] = {}
    answers: list[Mapping[str, Any]] = []
    for entry in said:
        product = _identifier(entry["remote_product_id"])
        who = (_identifier(entry["remote_user_id"]), product)
        line, head = told.get(who), lines[0] if lines else None
        if head and head.remote_product_id == product and (not line or line.registration_id == head.registration_id):
            line = told[who] = lines.popleft()
        answers.append(_registered(line) if line else _NO_PRODUCT)
    return answers


def _registered(line: AcceptedLine) -> Mapping[str, Any]:
    return {"product_url": line.product_url or "", "registration_id": line.registration_id}


ADAPTER: type[InboundAdapter] = Elevate
