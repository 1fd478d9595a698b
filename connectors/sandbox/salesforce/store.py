"""The records of the emulated org, and the rules by which they are written."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any, Literal

from connectors.sandbox.salesforce.answers import Refusal, Several, missing
from connectors.sandbox.salesforce.schema import Schema

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"
_QUERY = re.compile(
    r"SELECT\s+(?P<names>.+?)\s+FROM\s+(?P<object>\w+)"
    r"(?:\s+WHERE\s+(?P<field>\w+)\s*(?:=\s*(?P<one>'(?:[^'\\]|\\.)*')|IN\s*\((?P<many>.+)\)))?",
    re.IGNORECASE,
)
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

Fields = dict[str, Any]


class Store:
    """Records by object and 18-character id.

    Attributes:
        duplicate_rule: what happens to a new contact whose e-mail another one has.
        locked: by folded external id: how many more writes meet a lock.
    """

    def __init__(self, *schemas: Schema) -> None:
        """Start empty."""
        self.schemas = {one.name: one for one in schemas}
        self.records: dict[str, dict[str, Fields]] = {one.name: {} for one in schemas}
        self.duplicate_rule: Literal["off", "alert", "block"] = "off"
        self.locked: dict[str, int] = {}
        self._made = 0

    def schema(self, name: str) -> Schema:
        """Return an object, if there is one."""
        if (found := self.schemas.get(name)) is None:
            raise missing()
        return found

    def have(self, name: str, contact: str) -> None:
        """Have an object of that name, with a lookup of the contact."""
        if name not in self.schemas:
            self.schemas[name], self.records[name] = Schema(name, "a99"), {}
        if contact not in self.schemas[name].fields:
            relationship = contact.removesuffix("__c") + "__r"
            self.schemas[name].add(contact, "reference", relationship=relationship, parent="Contact")

    def hold(self, name: str, fields: Fields) -> str:
        """Put a record there past every rule; return its id."""
        self._made += 1
        record_id = _record_id(self.schemas[name].prefix, self._made)
        self.records[name][record_id] = fields
        return record_id

    def shown(self, name: str, record_id: str) -> Fields:
        """Return a record as an answer shows it."""
        url = f"/services/data/v60.0/sobjects/{name}/{record_id}"
        return {"attributes": {"type": name, "url": url}, "Id": record_id, **self.records[name][record_id]}

    def by_id(self, name: str, wanted: str) -> list[str]:
        """Return the record of that id of 15 or 18 characters."""
        return [key for key in self.records.get(name, ()) if wanted in (key, key[:15])]

    def by_external_id(self, name: str, field: str, value: str) -> list[str]:
        """Return the records with that external id."""
        if field not in self.schema(name).external_ids:
            raise missing()
        return [key for key, fields in self.records[name].items() if same(fields.get(field), value)]

    def update(self, name: str, record_id: str, given: Mapping[str, Any]) -> None:
        """Write fields of one record."""
        fields = self._with_parents(name, given)
        self.schema(name).check(fields, creating=False)
        for key in self.schema(name).external_ids & fields.keys():
            for other in self.by_external_id(name, key, str(fields[key])):
                if other != record_id:
                    message = f"duplicate value found: {key} duplicates value on record with id: {other[:15]}"
                    raise Refusal(400, "DUPLICATE_VALUE", message)
        self._write(name, record_id, fields)

    def upsert(self, name: str, key: str, value: str, given: Mapping[str, Any], *, allow: bool) -> tuple[str, bool]:
        """Write the record with that external id, or make it; say which id, and whether it is new."""
        found = self.by_external_id(name, key, value)
        if len(found) > 1:
            raise Several
        self._meet_lock(value, found)
        fields = self._with_parents(name, given)
        self.schema(name).check(fields, creating=not found)
        if found:
            self._write(name, found[0], fields)
            return found[0], False
        if name == "Contact" and (self.duplicate_rule == "block" or (self.duplicate_rule == "alert" and not allow)):
            self._apply_duplicate_rule(str(fields.get("Email") or ""))
        return self.hold(name, {key: value, **{n: held for n, held in fields.items() if held is not None}}), True

    def query(self, text: str) -> list[Fields]:
        """Answer a query of the one form that the emulator knows."""
        asked = _QUERY.fullmatch(text.strip())
        if asked is None:
            message = "unexpected token: the sandbox takes SELECT ... FROM ... WHERE ... = '...' or IN ('...')"
            raise Refusal(400, "MALFORMED_QUERY", message)
        schema = self.schemas.get(asked["object"])
        if schema is None:
            message = f"sObject type '{asked['object']}' is not supported."
            raise Refusal(400, "INVALID_TYPE", message)
        names = [name.strip() for name in asked["names"].split(",")]
        for name in (*names, *filter(None, [asked["field"]])):
            if name != "Id" and name not in schema.fields:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on entity '{schema.name}'")
        wanted = {_plain(one).casefold() for one in _LITERAL.findall(asked["one"] or asked["many"] or "")}
        rows = [self.shown(schema.name, key) for key in self.records[schema.name]]
        found = [row for row in rows if not asked["field"] or str(row.get(asked["field"])).casefold() in wanted]
        return [{name: row.get(name) for name in ("attributes", *names)} for row in found]

    def _write(self, name: str, record_id: str, fields: Mapping[str, Any]) -> None:
        held = self.records[name][record_id]
        held.update(fields)
        for key in [key for key, value in held.items() if value is None]:
            del held[key]

    def _meet_lock(self, value: str, found: list[str]) -> None:
        if self.locked.get(value.casefold(), 0) > 0:
            self.locked[value.casefold()] -= 1
            one = f"record or 1 records: {found[0][:15] if found else '0035g00000AbCdE'}"
            raise Refusal(400, "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this {one}")

    def _with_parents(self, name: str, given: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        for key, value in given.items():
            lookup = self.schema(name).relation(key) if isinstance(value, Mapping) else None
            if lookup is None:
                fields[key] = value
                continue
            ((parent_key, parent),) = ((k, v) for k, v in value.items() if k != "attributes")
            found = self.by_external_id(lookup.parent, parent_key, str(parent))
            if len(found) != 1:
                where = f"not found for field {parent_key} in entity {lookup.parent}"
                raise Refusal(400, "INVALID_FIELD", f"Foreign key external ID: {parent} {where}")
            fields[lookup.name] = found[0]
        return fields

    def _apply_duplicate_rule(self, email: str) -> None:
        alike = [key for key, fields in self.records["Contact"].items() if email and same(fields.get("Email"), email)]
        if not alike:
            return
        matches = [
            {
                "additionalInformation": [],
                "fieldDiffs": [],
                "matchConfidence": 100,
                "record": {name: self.shown("Contact", key)[name] for name in ("attributes", "Id")},
            }
            for key in alike
        ]
        result = {"entityType": "Contact", "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": matches}
        detail = {
            "allowSave": self.duplicate_rule == "alert",
            "duplicateRule": "Contacts_DR",
            "duplicateRuleEntityType": "Contact",
            "errorMessage": "Use one of these records?",
            "matchResults": [{**result, "rule": "Contacts_MR", "size": len(matches), "success": True}],
        }
        raise Refusal(400, "DUPLICATES_DETECTED", "Use one of these records?", duplicateResut=detail)


def same(held: Any, wanted: str) -> bool:
    """Compare as the org does: without case."""
    return held is not None and str(held).casefold() == wanted.casefold()


def _plain(literal: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), literal)


def _record_id(prefix: str, number: int) -> str:
    """Return the 18-character id: 15 that tell case, and 3 that say which of them are capitals."""
    tail = ""
    for _ in range(5):
        number, digit = divmod(number, 62)
        tail = _BASE62[digit] + tail
    short = f"{prefix}5g00000{tail}"
    chunks = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(_CHECK[sum(c.isupper() << i for i, c in enumerate(chunk))] for chunk in chunks)
