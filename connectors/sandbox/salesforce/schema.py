"""The objects of the emulated org: which fields there are, and what each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.sandbox.salesforce.answers import Refusal

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d))?")
_TEXTS = frozenset({"string", "textarea", "phone", "url", "email"})


@dataclass(slots=True)
class Field:
    """One field, as ``describe`` tells it.

    Attributes:
        type: ``string``, ``email``, ``phone``, ``picklist``, ``date``, ``datetime``, ``double``, ``boolean``, ``reference``.
        values: of a restricted picklist.
        relationship: of a lookup: the name under which its parent is given by external id.
    """

    name: str
    type: str = "string"
    length: int = 255
    external_id: bool = False
    unique: bool = False
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    values: Sequence[str] = ()
    relationship: str | None = None
    parent: str = ""

    def described(self) -> dict[str, Any]:
        """Return what ``describe`` says."""
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "length": self.length if self.type in _TEXTS else 0,
            "externalId": self.external_id,
            "unique": self.unique,
            "nillable": self.nillable,
            "createable": self.createable,
            "updateable": self.updateable,
            "defaultedOnCreate": self.type == "boolean",
            "restrictedPicklist": bool(self.values),
            "picklistValues": [{"value": value, "label": value, "active": True} for value in self.values],
            "relationshipName": self.relationship,
            "referenceTo": [self.parent] if self.parent else [],
        }

    def check(self, value: Any) -> None:
        """Refuse a value that the field does not take."""
        text = "" if value is None else str(value)
        if self.type in _TEXTS and len(text) > self.length:
            message = f"{self.name}: data value too large: {text} (max length={self.length})"
            raise Refusal(400, "STRING_TOO_LONG", message, [self.name])
        if self.type == "email" and text and not _EMAIL.fullmatch(text):
            raise Refusal(400, "INVALID_EMAIL_ADDRESS", f"{self.name}: invalid email address: {text}", [self.name])
        if self.values and text and text not in self.values:
            message = f"{self.name}: bad value for restricted picklist field: {text}"
            raise Refusal(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [self.name])
        form = {"date": _DATE, "datetime": _MOMENT}.get(self.type)
        if form is not None and value is not None and not form.fullmatch(text):
            message = f"Cannot deserialize instance of {self.type} from VALUE_STRING value {text}"
            raise Refusal(400, "JSON_PARSER_ERROR", message)


@dataclass(slots=True)
class Schema:
    """One object."""

    name: str
    prefix: str
    fields: dict[str, Field] = field(default_factory=dict)

    def add(self, name: str, type: str = "string", **more: Any) -> None:  # noqa: A002 - the vendor's own word
        """Give the object one more field, or another one of that name."""
        self.fields[name] = Field(name, type, **more)

    @property
    def external_ids(self) -> set[str]:
        """Names of the fields that an upsert may name."""
        return {name for name, one in self.fields.items() if one.external_id}

    def relation(self, name: str) -> Field | None:
        """Return the lookup of that relationship."""
        return next((one for one in self.fields.values() if one.relationship == name), None)

    def described(self) -> dict[str, Any]:
        """Return what ``describe`` says."""
        fields = [Field("Id", "id", createable=False, updateable=False), *self.fields.values()]
        return {
            "name": self.name,
            "keyPrefix": self.prefix,
            "createable": True,
            "updateable": True,
            "fields": [one.described() for one in fields],
        }

    def check(self, fields: Mapping[str, Any], *, creating: bool) -> None:
        """Refuse what the object does not take."""
        lacking = [
            one.name
            for one in self.fields.values()
            if not one.nillable and not fields.get(one.name) and (creating or one.name in fields)
        ]
        if lacking:
            message = f"Required fields are missing: [{', '.join(lacking)}]"
            raise Refusal(400, "REQUIRED_FIELD_MISSING", message, lacking)
        for name, value in fields.items():
            if (known := self.fields.get(name)) is None:
                message = f"No such column '{name}' on sobject of type {self.name}"
                raise Refusal(400, "INVALID_FIELD", message)
            if not (known.createable if creating else known.updateable):
                message = f"Unable to create/update fields: {name}. Please check the security settings of this field"
                raise Refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [name])
            known.check(value)


def contact() -> Schema:
    """Return Contact with its usual fields and ours."""
    made = Schema("Contact", "003")
    for name, kind, length in (
        ("FirstName", "string", 40),
        ("LastName", "string", 80),
        ("Email", "email", 80),
        ("Phone", "phone", 40),
        ("MobilePhone", "phone", 40),
        ("Title", "string", 128),
    ):
        made.add(name, kind, length=length, nillable=name != "LastName")
    made.add("Bridge_Id__c", external_id=True, unique=True)
    return made


def course_registration() -> Schema:
    """Return an object of the operator's own, as docs and tests name it."""
    made = Schema("Course_Registration__c", "a0B")
    made.add("Registration_Key__c", external_id=True, unique=True)
    made.add("Contact__c", "reference", relationship="Contact__r", parent="Contact", nillable=False)
    made.add("Course_Code__c", length=40)
    made.add("Status__c", "picklist", values=("active", "waiting", "cancelled", "refunded", "expired", "completed"))
    made.add("Enrolled_At__c", "datetime")
    made.add("Completed_On__c", "date")
    made.add("Percent__c", "double")
    return made
