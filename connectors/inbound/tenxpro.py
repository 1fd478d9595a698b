"""The 10XPRO custom API, as a server.

A payment system that calls ``https://SCHOOL/customapi.php?secret=...&type=purchase&...`` calls the bridge by changing
only the host. HTTP GET and HTTP POST, parameters in the query, in the body, or in both; where both name one, the body
counts. A body may be a urlencoded form, a multipart form (what PHP's curl makes of an array) or a JSON object.
Authentication: ``secret``, the Webhooks Secret Key. A multipart form must have it in the address, because only there
it can be blanked before the call is kept.

There is no id of the occurrence: a GET that a browser or a proxy repeats is the same purchase, and the live
registration decides that. A learner is known by e-mail only. ``type`` is ``purchase``, or ``credit``, which takes access
away.

Not from the vendor: the form of the answer, which it does not tell: ``{"success": true, "registration_id": 7, "product_url": "..."}``, with
``registration_ids`` besides when one call bought several products, or
``{"success": false, "error": "...", "errors": {"email": "..."}}``, with the statuses of docs/connecting.md.

Sources: the vendor's pages "Register User to an Online Course via API" (seed 000) and "Register User to Forum via API";
``bundle_id`` and ``type=credit`` are from its pages under its newer name, KLEQ ("Deactivate User ... via API").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import ValidationError

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import AcceptedLine, InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Secrets, SourceSettings
from bridge.kit.signatures import any_same

_PRODUCTS = {"course_id": "", "forum_category_id": "forum:", "bundle_id": "bundle:"}
"""Parameter -> what stands before its value in the ``remote_product_id``."""

_PARAMETERS = (
    *_PRODUCTS,
    *("type", "email", "first_name", "last_name"),
    *("full_access", "forum_full_access", "send_mail"),
)

_ACTIONS = {"purchase": Action.ENROLL, "credit": Action.CANCEL}

_YES = frozenset({"yes", "1", "true"})
_NO = frozenset({"no", "0", "false"})

_MERGE_FIELD = re.compile(
    r"ADD[A-Z_]*MERGE"  # the placeholders of the vendor's own example
    r"|\{.*\}|\[.*\]|<.*>|%.*%|\*\|.*\|\*|~.*~|\#.*\#|\$\{?[A-Za-z_.]+\}?",
    re.DOTALL,
)
_PART_NAME = re.compile(rb';\s*name="([^"]*)"', re.IGNORECASE)

_HEADERS = {"Cache-Control": "no-store"}  # a GET that enrolls somebody must reach us every time
_PROBLEMS: Mapping[str, tuple[int, Mapping[str, str]]] = {  # kind -> status, message by field
    "unmapped": (422, {"product": "The requested product could not be found."}),
    "ignored": (422, {"product": "The requested product could not be found."}),
    "not_found": (404, {"registration": "The requested registration could not be found."}),
    "unreadable": (400, {"body": "The request body could not be read."}),
    "unauthorised": (401, {"secret": "The secret is missing or not valid."}),
    "no_such_address": (404, {"address": "There is nothing at this address."}),
    "method_not_allowed": (405, {"method": "This address takes GET and POST only."}),
    "too_large": (413, {"body": "The request body is too large."}),
    "invalid": (422, {"body": "The parameters could not be understood."}),
    "unavailable": (503, {"server": "The call could not be kept. Please send it again later."}),
}


class TenxproSettings(SourceSettings):
    """``[sources.NAME]`` with ``adapter = "tenxpro"``.

    Attributes:
        secret: what the caller puts into ``secret``; several while it rotates.
    """

    secret: Secrets


class Tenxpro:
    """Takes purchases from payment systems that call 10XPRO's custom API."""

    Settings: ClassVar[type[SourceSettings]] = TenxproSettings
    routes: ClassVar[Sequence[Route]] = (Route(("GET", "POST"), "/customapi.php"),)
    methods: ClassVar[Sequence[str]] = ("GET", "POST")
    synchronous: ClassVar[bool] = True
    user_ids: ClassVar[bool] = False
    quantities: ClassVar[bool] = False
    asks_for_mail: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "`course_id` as it is; a forum is `forum:ID`, a bundle `bundle:ID`."
    setup: ClassVar[Sequence[str]] = (
        "At the payment system, change only the host of the custom API's address: `{host}/customapi.php?secret=SECRET`.",
        "Give it `type=purchase`, `course_id`, `email`, `first_name` and `last_name` as name and value pairs.",
    )
    unverified: ClassVar[str] = (
        "The form of the answer: the vendor does not tell it. `bundle_id` and `type=credit` are from the vendor's newer pages (KLEQ)."
    )

    def __init__(self, settings: TenxproSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)

    def credentials(self) -> Sequence[str]:
        """Return the secrets; one call shows one of them."""
        return self._secrets

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return the ``secret`` of body or query.

        Raises:
            PayloadInvalid: the body can't be read, or it is a multipart form that holds the secret.
        """
        secret = _parameters(event).get("secret")
        return secret if isinstance(secret, str) else None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret.

        Raises:
            SignatureInvalid: it is missing or wrong.
            PayloadInvalid: as :meth:`credential`.
        """
        if not any_same(self.credential(event), self._secrets):
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return one command with an item for each product that the call names: it enrolls, or (``credit``) takes away.

        Raises:
            PayloadInvalid: parameters are missing or wrong; all of them are named at once.
        """
        given = _parameters(event)
        faults: dict[str, str] = {}
        texts = {name: _text(given.get(name), name, faults) for name in _PARAMETERS}
        products = [name for name in _PRODUCTS if texts[name]]
        for name in ("email", *products):
            if _MERGE_FIELD.fullmatch(texts[name]):
                faults[name] = (
                    f"The {name} parameter is a merge field that was not replaced by its value. "
                    "Check how the payment system spells it."
                )
        if texts["type"].lower() not in _ACTIONS:
            faults.setdefault("type", 'The type parameter is required, and it must be the word "purchase" or "credit".')
        if not products:
            faults.setdefault("course_id", "One of course_id, forum_category_id and bundle_id is required.")
        if not texts["email"]:
            faults.setdefault("email", "The email parameter is required.")
        return [_command(texts, products, event, faults)]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Answer in JSON. A switched-off product is answered as one that does not exist."""
        if reception.kind == "accepted" and reception.lines:
            return Response(200, _bought(reception.lines), _HEADERS)
        status, told = _PROBLEMS["unmapped" if reception.kind == "accepted" else reception.kind]
        errors = dict(reception.faults or told)
        headers = dict(_HEADERS)
        if status == 405:
            headers["Allow"] = "GET, POST"
        if status == 503:
            headers["Retry-After"] = str(reception.retry_after)
        return Response(status, {"success": False, "error": " ".join(errors.values()), "errors": errors}, headers)


def _parameters(event: InboundEvent) -> dict[str, Any]:
    return {**event.query, **_body(event)}


def _body(event: InboundEvent) -> Mapping[str, Any]:
    # Judged by its first bytes, not by a header: a replay has the body only, and callers' headers are often wrong.
    start = event.body.lstrip()[:2]
    if start[:1] == b"{":
        return event.json  # type: ignore[no-any-return] # JSON that begins so is an object
    return _multipart(event.body.lstrip()) if start == b"--" else event.form


def _multipart(body: bytes) -> dict[str, str]:
    boundary, _, parts = body.partition(b"\r\n")
    fields: dict[str, str] = {}
    for part in parts.split(b"\r\n" + boundary):
        head, blank, value = part.partition(b"\r\n\r\n")
        if blank and (name := _PART_NAME.search(head)):
            try:
                fields[name[1].decode()] = value.decode()
            except UnicodeDecodeError:
                raise PayloadInvalid({"body": "The request body is not in UTF-8."}, readable=False) from None
    if "secret" in fields:
        raise PayloadInvalid({"secret": "With a multipart form the secret must stand in the address."})
    return fields


def _text(value: Any, name: str, faults: dict[str, str]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | str) or "\0" in str(value):  # no database keeps a NUL
        faults[name] = f"The {name} parameter must be text."
        return ""
    return str(value).strip()


def _command(
    texts: Mapping[str, str], products: Sequence[str], event: InboundEvent, faults: Mapping[str, str]
) -> EnrollmentCommand:
    action = _ACTIONS.get(texts["type"].lower(), Action.ENROLL)
    values = {
        "action": action,
        "occurred_at": event.received_at,
        "learner": {
            "email": texts["email"],
            # A name nobody filled in is no reason to turn away somebody who has paid.
            **{
                name: "" if _MERGE_FIELD.fullmatch(texts[name]) else texts[name] for name in ("first_name", "last_name")
            },
        },
        "items": [{"remote_product_id": _PRODUCTS[name] + texts[name]} for name in products],
        "options": _options(texts) if action is Action.ENROLL else {},
    }
    try:
        command = EnrollmentCommand.model_validate(values)
    except ValidationError as error:
        raise PayloadInvalid({**_wrong(error, products), **faults}) from None
    if faults:
        raise PayloadInvalid(faults)
    return command


def _options(texts: Mapping[str, str]) -> dict[str, bool]:
    return {
        "send_email": texts["send_mail"].lower() not in _NO,  # the vendor's default is to send
        "full_access": not _YES.isdisjoint((texts["full_access"].lower(), texts["forum_full_access"].lower())),
    }


def _wrong(error: ValidationError, products: Sequence[str]) -> dict[str, str]:
    faults = {}
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        place = wrong["loc"]
        if place[:1] == ("items",):
            name = products[int(place[1])]
        elif place[:1] == ("learner",):
            name = str(place[-1])
        else:
            continue  # the command as a whole: without an item, which has its fault already
        expected = "an e-mail address" if name == "email" else "text of at most 500 characters"
        faults[name] = f"The {name} parameter must be {expected}."
    return faults


def _bought(lines: Sequence[AcceptedLine]) -> dict[str, Any]:
    first = lines[0]
    answer = {"success": True, "registration_id": first.registration_id, "product_url": first.product_url or ""}
    return answer if len(lines) == 1 else {**answer, "registration_ids": [line.registration_id for line in lines]}


ADAPTER: type[InboundAdapter] = Tenxpro
