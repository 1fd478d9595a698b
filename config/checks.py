"""What no single key can know: names used elsewhere, keys and products given twice, things that lead nowhere."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import SecretStr

from bridge.contract.command import Item, Learner, Options, Order
from bridge.contract.settings import conditions_of
from config.findings import Findings
from config.lines import Key
from config.sections import Draft, Sections, Types
from config.values import in_clear
from config.words import unknown_name

_FIELDS = frozenset(
    f"{root}.{name}"
    for root, model in (
        ("learner", Learner),
        ("buyer", Learner),
        ("item", Item),
        ("order", Order),
        ("options", Options),
    )
    for name in model.model_fields
) | {"livemode", "source.name", "source.adapter", "source.namespace"}
"""What a condition may look at; deeper paths begin with one of these."""


class Checks:
    """Looks across the valid parts of a file."""

    def __init__(self, draft: Draft, sections: Sections, types: Types, findings: Findings) -> None:
        """Look at ``draft``; ``sections`` knows the names of faulty tables too."""
        self._draft = draft
        self._sections = sections
        self._types = types
        self._findings = findings

    def run(self) -> None:
        """Note every fault and warning."""
        self._fields_of_conditions()
        self._one_key_one_source()
        self._one_token_one_name()
        self._shared_orders()
        self._echoes()
        self._names_of_products()
        self._one_mapping_a_product()
        self._links_have_an_address()
        self._sources_that_sell_nothing()
        self._targets_that_get_nothing()
        self._courses_nobody_gets_into()
        self._one_namespace_a_target()
        self._templates()
        self._alerts_reach_somebody()
        self._logins_find_back()

    def _templates(self) -> None:
        mailer = self._draft.settings.mailer if self._draft.settings is not None else None
        if mailer is not None:
            for said in self._types.template_faults(mailer.templates):
                self._findings.fault(("mailer", "templates"), said)

    def _alerts_reach_somebody(self) -> None:
        settings = self._draft.settings
        if settings is None or "alerts" not in self._sections.tree:
            return
        given = settings.alerts
        if given.mail and settings.mailer is None:
            self._findings.fault(("alerts", "mail"), "goes with [mailer], which says how mail is sent")
        if not (given.mail or given.slack or given.webhook):
            self._findings.warn(("alerts",), "names no channel: give it mail, slack or webhook, or nobody is told")
        channels: list[tuple[Key, Any]] = [(("alerts", "slack"), given.slack)]
        channels.append((("alerts", "webhook", "url"), given.webhook.url if given.webhook is not None else None))
        for key, url in channels:
            if url is not None and in_clear(url.get_secret_value()):
                self._findings.warn(key, "goes over the network in clear; write https://")

    def _logins_find_back(self) -> None:
        settings = self._draft.settings
        if settings is None or settings.admin.openid is None:
            return
        key: Key = ("admin", "openid", "console_url")
        url = settings.admin.console_url(settings.server.public_url)
        if url is None and settings.admin.port is not None:
            self._findings.fault(key, "missing; [admin] port moves the console away from [server] public_url")
        elif url is None:
            self._findings.fault(key, "missing; so is [server] public_url, which would do")
        elif in_clear(url):
            self._findings.warn(key, "the console is reached in clear; write https://")

    def _fields_of_conditions(self) -> None:
        for name, settings in self._draft.targets.items():
            for position, rule in enumerate(settings.only_if):
                for condition in conditions_of([rule]):
                    if ".".join(condition.field.split(".")[:2]) not in _FIELDS:
                        key: Key = ("targets", name, "only_if", position, *(("field",) if rule is condition else ()))
                        self._findings.fault(key, unknown_name("field", condition.field, _FIELDS))

    def _one_key_one_source(self) -> None:
        owners: dict[str, str] = {}
        for name, settings in self._draft.sources.items():
            if not settings.enabled:  # it answers as if it did not exist
                continue
            for credential in dict.fromkeys(self._types.keys(settings.adapter, settings)):
                owner = owners.setdefault(credential, name)
                if owner != name:
                    first = self._line(self._place(owner, credential))
                    self._findings.fault(
                        self._place(name, credential),
                        f"source '{name}' has the same key as source '{owner}' ({first}); each needs its own",
                    )

    def _one_token_one_name(self) -> None:
        owners: dict[str, str] = {}
        for name, given in self._draft.settings.admin.tokens.items() if self._draft.settings is not None else ():
            for digest in dict.fromkeys([*(_digest(secret) for secret in given.token), *given.sha256]):
                owner = owners.setdefault(digest, name)
                if owner != name:
                    said = (
                        f"is the same token as that of '{owner}'; each needs its own, or the record names the wrong one"
                    )
                    self._findings.fault(("admin", "tokens", name), said)

    def _shared_orders(self) -> None:
        for name, settings in self._draft.sources.items():
            other = settings.same_orders_as
            if other is None:
                continue
            key: Key = ("sources", name, "same_orders_as")
            if other == name:
                self._findings.fault(key, "expected the name of another source")
            elif other not in self._sections.names("sources"):
                others = {known for known in self._sections.names("sources") if known != name}
                self._findings.fault(key, unknown_name("source", other, others))

    def _echoes(self) -> None:
        for name, settings in self._draft.sources.items():
            key: Key = ("sources", name, "echo_of")
            known = self._sections.names("targets")
            if settings.echo_of is not None and settings.echo_of not in known:
                self._findings.fault(key, unknown_name("target", settings.echo_of, known))
            elif settings.echo_of is None and settings.accept_enrollments:
                self._findings.fault(
                    ("sources", name, "accept_enrollments"),
                    "goes with echo_of: a source without it accepts them anyway",
                )

    def _names_of_products(self) -> None:
        for position, product in self._draft.products.items():
            for field, section, names in (
                ("source", "sources", product.source),
                ("courses", "courses", product.courses),
            ):
                known = self._sections.names(section)
                for index, name in enumerate(names):
                    if name not in known:
                        key = self._written(("products", position, field, index))
                        self._findings.fault(key, unknown_name(section[:-1], name, known))

    def _one_mapping_a_product(self) -> None:
        seen: dict[tuple[str, str], int] = {}
        for position, product in self._draft.products.items():
            for source in product.source:
                first = seen.setdefault((source, product.remote_product_id), position)
                if first != position:
                    key: Key = ("products", position, "remote_product_id")
                    there = self._line(("products", first, "remote_product_id"))
                    self._findings.fault(
                        key, f"product '{product.remote_product_id}' of source '{source}' is mapped already ({there})"
                    )

    def _links_have_an_address(self) -> None:
        settings = self._draft.settings
        if settings is None or settings.server.public_url is not None:
            return
        for position, product in self._draft.products.items():
            if product.seats == "links":
                self._findings.fault(
                    ("products", position, "seats"), "links need [server] public_url, the address that they begin with"
                )

    def _sources_that_sell_nothing(self) -> None:
        if not self._sections.names("sources"):
            self._findings.warn(("sources",), "no source is configured: nothing can come in")
        selling = {source for product in self._draft.products.values() for source in product.source}
        for name, settings in self._draft.sources.items():
            if settings.enabled and name not in selling:
                fate = "is ignored" if settings.unmapped == "ignore" else "waits in quarantine"
                self._findings.warn(("sources", name), f"no product names this source: whatever it sells {fate}")

    def _targets_that_get_nothing(self) -> None:
        enabled = {name: settings for name, settings in self._draft.targets.items() if settings.enabled}
        if not enabled:
            self._findings.warn(("targets",), "no target is in use: purchases are kept and nobody is told")
        with_table = {target for course in self._draft.courses.values() for target in course.tables}
        for name, settings in enabled.items():
            if name not in with_table and self._types.needs_table(settings.connector):
                self._findings.warn(("targets", name), f"no course has a table '{name}': nobody gets in there")

    def _courses_nobody_gets_into(self) -> None:
        opened = {course for product in self._draft.products.values() for course in product.courses}
        for name in self._draft.courses:
            if name not in opened:
                self._findings.warn(("courses", name), "no product leads to this course")
        enabled = {name: settings for name, settings in self._draft.targets.items() if settings.enabled}
        teaching = {name for name, settings in enabled.items() if self._types.needs_table(settings.connector)}
        for name, course in self._draft.courses.items():
            if name in opened and teaching and teaching.isdisjoint(course.tables):
                listed = ", ".join(f"'{target}'" for target in sorted(teaching))
                self._findings.warn(
                    ("courses", name), f"has a table for none of {listed}: whoever buys it gets in nowhere"
                )

    def _one_namespace_a_target(self) -> None:
        """Two sources whose users 7 are two people must not meet at a target that knows one user 7."""
        for name, settings in self._draft.targets.items():
            if not settings.enabled or not self._types.knows_user_ids(settings.connector):
                continue
            senders = {source: self._draft.sources[source] for source in self._sellers_to(name)}
            namespaces = {
                given.namespace or source: source
                for source, given in senders.items()
                if given.enabled and self._types.sends_user_ids(given.adapter)
            }
            if len(namespaces) > 1:
                listed = ", ".join(f"'{source}'" for source in sorted(namespaces.values()))
                self._findings.fault(
                    ("targets", name),
                    f"sources {listed} send user ids of different namespaces to a target that knows people by them: "
                    "give the sources one namespace if their ids mean the same people, else give each a target of its own",
                )

    def _sellers_to(self, target: str) -> list[str]:
        courses = {key for key, course in self._draft.courses.items() if target in course.tables}
        sources = [
            name for product in self._draft.products.values() if courses & {*product.courses} for name in product.source
        ]
        return [name for name in dict.fromkeys(sources) if name in self._draft.sources]

    def _place(self, source: str, credential: str) -> Key:
        """Return where a source's key stands; its table when the adapter made the key from several values."""
        table: Key = ("sources", source)
        return next(_leaves_equal(self._sections.tree["sources"][source], credential, table), table)

    def _written(self, key: Key) -> Key:
        """Return the key of a list's entry, or of the single value that stands in its place."""
        tree: Any = self._sections.tree
        for step in key[:-1]:
            tree = tree[step]
        return key if isinstance(tree, list) else key[:-1]

    def _line(self, key: Key) -> str:
        return f"line {self._findings.lines.of(key)}"


def _digest(secret: SecretStr) -> str:
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()


def _leaves_equal(tree: Any, text: str, key: Key) -> Any:
    if tree == text:
        yield key
    elif isinstance(tree, dict):
        for name, entry in tree.items():
            yield from _leaves_equal(entry, text, (*key, name))
    elif isinstance(tree, list):
        for position, entry in enumerate(tree):
            yield from _leaves_equal(entry, text, (*key, position))
