"""Each section of the file, validated by the model of whoever owns it. One bad table does not hide the next one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from bridge.contract.mail import MAILER
from bridge.contract.settings import CourseTable, SourceSettings, TargetSettings
from config.findings import Findings
from config.lines import Key
from config.references import References
from config.settings import COURSE_KEYS, Course, Product, Settings
from config.values import http_address
from config.words import explain, unknown_key, unknown_name

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_PASSWORD_IN_URL = re.compile(r"//[^/@]*:[^/@]+@|[?&]password=")
_URLS: tuple[Key, ...] = (("ledger", "url"), ("mailer", "url"))

M = TypeVar("M", bound=BaseModel)


class Types(Protocol):
    """What the adapters and connectors say of themselves; :mod:`bridge.registry` implements it."""

    def adapters(self) -> Sequence[str]:
        """Return the types that ``adapter`` may name."""

    def connectors(self) -> Sequence[str]:
        """Return the types that ``connector`` may name."""

    def source_settings(self, adapter: str) -> type[SourceSettings]:
        """Return the model of a source's table."""

    def target_settings(self, connector: str) -> type[TargetSettings]:
        """Return the model of a target's table."""

    def course_table(self, connector: str) -> type[CourseTable] | None:
        """Return the model of a course's table for a target, or None when it takes none."""

    def needs_table(self, connector: str) -> bool:
        """Say whether a course without such a table is not for that target."""

    def sends_user_ids(self, adapter: str) -> bool:
        """Say whether such a sender names people by ids of its own."""

    def knows_user_ids(self, connector: str) -> bool:
        """Say whether such a target knows people by a sender's bare ids."""

    def template_faults(self, folder: Path | None) -> Sequence[str]:
        """Return what is wrong with the notices' templates, ``file:line: words``."""

    def keys(self, adapter: str, settings: SourceSettings) -> Sequence[str]:
        """Return the credentials that a source can be found by."""


@dataclass(slots=True)
class Draft:
    """What of the file is valid so far; products by their position."""

    sources: dict[str, SourceSettings] = field(default_factory=dict)
    targets: dict[str, TargetSettings] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    products: dict[int, Product] = field(default_factory=dict)
    settings: Settings | None = None


class Sections:
    """Reads a tree without references into a :class:`Draft`; what can't be used becomes a fault."""

    def __init__(self, tree: Mapping[str, Any], types: Types, references: References, findings: Findings) -> None:
        """Read ``tree``, whose references are replaced already."""
        self.tree = tree
        self._types = types
        self._references = references
        self._findings = findings

    def names(self, section: str) -> Collection[str]:
        """Return the names in ``sources``, ``targets`` or ``courses``, those of faulty tables too."""
        tables = self.tree.get(section)
        return tables.keys() if isinstance(tables, dict) else ()

    def draft(self) -> Draft:
        """Validate everything."""
        draft = Draft()
        for name, table in self._tables("sources"):
            if source := self._source(name, table):
                draft.sources[name] = source
        for name, table in self._tables("targets"):
            if target := self._target(name, table):
                draft.targets[name] = target
        for name, table in self._tables("courses"):
            if course := self._course(name, table):
                draft.courses[name] = course
        for position, table in self._products():
            if product := self._valid(Product, table, ("products", position)):
                draft.products[position] = product
        draft.settings = self._general(draft)
        return draft

    def _tables(self, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        tables = self.tree.get(section, {})
        if not isinstance(tables, dict):
            self._findings.fault((section,), f"expected tables, as in [{section}.NAME]")
            return
        for name, table in tables.items():
            key = (section, name)
            if not _NAME.fullmatch(name):
                self._findings.fault(key, "expected a name of a-z, 0-9, '_' and '-' that begins with a letter or digit")
            if isinstance(table, dict):
                yield name, table
            else:
                self._findings.fault(key, f"expected a table, as in [{section}.{name}]")

    def _products(self) -> Iterator[tuple[int, dict[str, Any]]]:
        tables = self.tree.get("products", [])
        if not isinstance(tables, list):
            self._findings.fault(("products",), "expected a list of tables: write [[products]]")
            return
        for position, table in enumerate(tables):
            if isinstance(table, dict):
                yield position, table
            else:
                self._findings.fault(("products", position), "expected a table, as in [[products]]")

    def _source(self, name: str, table: dict[str, Any]) -> SourceSettings | None:
        adapter = self._type(("sources", name, "adapter"), table, self._types.adapters())
        return adapter and self._valid_party(self._types.source_settings(adapter), table, ("sources", name))

    def _target(self, name: str, table: dict[str, Any]) -> TargetSettings | None:
        if name in COURSE_KEYS:
            self._findings.fault(("targets", name), f"a target can't be called '{name}': every course has such a key")
        if name == MAILER:
            self._findings.fault(("targets", name), f"a target can't be called '{name}': the lane of notices is")
        connector = self._type(("targets", name, "connector"), table, self._types.connectors())
        return connector and self._valid_party(self._types.target_settings(connector), table, ("targets", name))

    def _valid_party(self, model: type[M], table: dict[str, Any], key: Key) -> M | None:
        """Validate a source or a target; its address too when something else about it is wrong."""
        where, written = (*key, "base_url"), table.get("base_url")
        if isinstance(written, str) and "base_url" in model.model_fields and where not in self._references.broken:
            try:
                http_address(written)
            except ValueError as fault:
                self._findings.fault(where, str(fault))
        return self._valid(model, table, key)

    def _type(self, key: Key, table: dict[str, Any], known: Sequence[str]) -> Any:
        kind = str(key[-1])
        written = table.get(kind)
        if isinstance(written, str) and written in known:
            return written
        if isinstance(written, str) and key not in self._references.broken:
            self._findings.fault(key, unknown_name(kind, written, known))
        elif written is None:
            self._missing_type(key, table, known)
        elif not isinstance(written, str):
            self._findings.fault(key, f"expected the type of the {kind} as text")
        return None

    def _missing_type(self, key: Key, table: dict[str, Any], known: Sequence[str]) -> None:
        if misspelt := get_close_matches(str(key[-1]), table, n=1):
            self._findings.fault((*key[:-1], misspelt[0]), unknown_key(misspelt[0], [str(key[-1])]))
        else:
            self._findings.fault(key, f"missing; expected one of: {', '.join(sorted(known))}")

    def _course(self, name: str, table: dict[str, Any]) -> Course | None:
        key = ("courses", name)
        own = {inner: value for inner, value in table.items() if inner in COURSE_KEYS}
        tables = {
            target: self._course_table((*key, target), value)
            for target, value in table.items()
            if target not in COURSE_KEYS
        }
        course = self._valid(Course, {"title": name, **own}, key)
        valid = {target: found for target, found in tables.items() if found is not None}
        return course and course.model_copy(update={"tables": valid})

    def _course_table(self, key: Key, table: Any) -> CourseTable | None:
        target = str(key[-1])
        if target not in self.names("targets"):
            self._findings.fault(key, unknown_key(target, {*COURSE_KEYS, *self.names("targets")}))
            return None
        settings = self.tree["targets"][target]
        connector = settings.get("connector") if isinstance(settings, dict) else None
        if not isinstance(connector, str) or connector not in self._types.connectors():
            return None  # a fault of the target, said there
        model = self._types.course_table(connector)
        if model is None:
            self._findings.fault(key, f"target '{target}' takes nothing per course; remove the table")
            return None
        return self._valid(model, table, key)

    def _general(self, draft: Draft) -> Settings | None:
        sections = {
            "sources": draft.sources,
            "targets": draft.targets,
            "courses": draft.courses,
            "products": tuple(draft.products.values()),
        }
        rest = {key: value for key, value in self.tree.items() if key not in sections}
        self._warn_of_passwords_in_urls()
        return self._valid(Settings, {**rest, **sections}, ())

    def _valid(self, model: type[M], table: Any, key: Key) -> M | None:
        """Return the instance, or None when there is a fault or a reference that led nowhere: then it proves nothing."""
        self._look_for_secrets(model, table, key)
        try:
            instance = model.model_validate(table)
        except ValidationError as error:
            for where, message in explain(error, model, table, key):
                if not any(_related(where, broken) for broken in self._references.broken):
                    self._findings.fault(where, message)
            return None
        return None if any(broken[: len(key)] == key for broken in self._references.broken) else instance

    def _look_for_secrets(self, model: type[BaseModel], table: Any, key: Key) -> None:
        for where, text in _secrets(model, table, key):
            self._findings.hide([text])
            if not text:
                self._findings.fault(where, "expected text of at least 1 character")
            # A password's hash may stand in the file; that is what it is hashed for.
            if where[0] != "console" and not self._referenced(where):
                self._findings.warn(where, 'a secret in clear text; write "${NAME}" or { file = "path" } instead')

    def _warn_of_passwords_in_urls(self) -> None:
        for section, name in _URLS:
            table = self.tree.get(str(section))
            url = table.get(name) if isinstance(table, dict) else None
            if isinstance(url, str) and _PASSWORD_IN_URL.search(url) and not self._referenced((section, name)):
                self._findings.hide([url])
                self._findings.warn(
                    (section, name), 'a password in clear text; write it as "${NAME}" within the address'
                )

    def _referenced(self, key: Key) -> bool:
        return any(key[: len(used)] == used for used in self._references.used)


def _related(one: Key, other: Key) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _secrets(annotation: Any, value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """Yield every text that a model takes as a secret, whether or not the rest of the table is valid."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        yield from _texts(value, key)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, described in annotation.model_fields.items():
            written = described.alias or name
            if isinstance(value, dict) and written in value:
                yield from _secrets(described.annotation, value[written], (*key, written))
    else:  # an optional one, a list, a table with free names; a single text may stand for a list
        for inner in get_args(annotation):
            yield from _secrets(inner, value, key)
            for step, entry in _entries(value):
                yield from _secrets(inner, entry, (*key, step))


def _texts(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    for step, entry in _entries(value):
        yield from _texts(entry, (*key, step))


def _entries(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
