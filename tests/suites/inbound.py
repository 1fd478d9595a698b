"""What every inbound adapter promises. An adapter's test binds it by subclassing; no network, no clock, no mocks."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bridge.contract.command import EnrollmentCommand, email_key
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import (
    AcceptedLine,
    InboundAdapter,
    InboundEvent,
    Kind,
    Reception,
    Response,
    Route,
    Unreadable,
)
from bridge.contract.settings import SourceSettings

RECEIVED = datetime(2026, 11, 22, 10, tzinfo=UTC)
PAYLOADS = Path(__file__).parents[1] / "payloads"

WEBHOOK: Mapping[Kind, int] = {
    "accepted": 200,
    "unmapped": 200,
    "ignored": 200,
    "not_found": 200,
    "unreadable": 200,
    "unauthorised": 401,
    "no_such_address": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "invalid": 200,
    "unavailable": 503,
}
"""Statuses of a webhook's answers: a sender that sees 4xx for what it may send switches us off."""

SYNCHRONOUS: Mapping[Kind, int] = {
    **WEBHOOK,
    "unmapped": 422,
    "ignored": 422,
    "not_found": 404,
    "unreadable": 400,
    "invalid": 422,
}
"""Statuses of a protocol whose caller reads the answer."""

HOSTILE_TEXTS = (
    *("", " ", "\0", "a\0b@example.org", "\ud800", "a" * 1_000_000, "a@" + "b." * 200_000, "@", "a@b@c"),
    *("\u202e", "\u0661\u0662", "\u00b2", "\u2028", "${x}", "{{email}}", "%00", "=", "&", "\r\n", "--", "0" * 5_000),
    *("NaN", "-Infinity", "1e999999999", "1_000", "-1", "0x10", "1" * 30, "9223372036854775808", "49,90", "null"),
)
HOSTILE_JSON = (
    *(json.dumps(text).encode() for text in HOSTILE_TEXTS),
    *(b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 500 + b"]" * 500),
    *(b"9" * 5_000, b"1e400", b"1e300", b"5e-324", b"-0.0", b"-1", b"18446744073709551615", b"18446744073709551616"),
    *(b"NaN", b"Infinity", b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b"[null]", b'{"": 0}', b"0.1"),
    *(b'"\xed\xa0\x80"', b'"\xff"', b"'", b"\xef\xbb\xbf{}", b""),
)

GARBAGE = settings(
    max_examples=30,  # of each adapter, and beside every hostile value in every field
    deadline=None,  # the machine is shared
    derandomize=True,  # the same tree gives the same verdict
    database=None,
    # One method serves every adapter's class, and a megabyte of text is slow to draw.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
)
ANY_TEXT = st.text(st.characters(), max_size=30) | st.sampled_from([text for text in HOSTILE_TEXTS if len(text) < 100])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/in/source",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> InboundEvent:
    """Build an event as the edge would."""
    return InboundEvent(method, path, headers or {}, query or {}, body, RECEIVED)


def asked(ask: Callable[[InboundEvent], Any], event: InboundEvent) -> Any:
    """Return what a method says of an event, or one of the two errors that it may raise; any other escapes."""
    try:
        return ask(event)
    except (PayloadInvalid, SignatureInvalid) as error:
        return error


def refused(adapter: InboundAdapter, event: InboundEvent) -> bool:
    """Say whether the adapter finds the event unproven."""
    return isinstance(asked(adapter.verify, event), SignatureInvalid)


def stored(event: InboundEvent, adapter: InboundAdapter, blank: str = "") -> InboundEvent:
    """Return what is left of an event once it is on disk: credential fields blank, only the kept headers."""
    fields = adapter.credential_fields
    headers = {name: value for name, value in event.headers.items() if name in adapter.kept_headers}
    query = {name: blank if name in fields else value for name, value in event.query.items()}
    return replace(event, headers=headers, query=query, body=_blanked(event.body, fields, blank))


def _blanked(body: bytes, fields: frozenset[str], blank: str) -> bytes:
    try:
        return orjson.dumps(_without(orjson.loads(body), fields, blank))
    except orjson.JSONDecodeError:
        pass
    pairs = parse_qsl(body.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogateescape")
    if not any(name in fields for name, _ in pairs):
        return body
    kept = [(name, blank if name in fields else value) for name, value in pairs]
    return urlencode(kept, errors="surrogateescape").encode()


def _without(value: Any, fields: frozenset[str], blank: str) -> Any:
    if isinstance(value, dict):
        return {name: blank if name in fields else _without(held, fields, blank) for name, held in value.items()}
    return [_without(held, fields, blank) for held in value] if isinstance(value, list) else value


def names_in(value: Any) -> Iterator[str]:
    """Every field name of a JSON value, at any depth."""
    for name, held in value.items() if isinstance(value, dict) else ():
        yield name
        yield from names_in(held)
    for held in value if isinstance(value, list) else ():
        yield from names_in(held)


def mutants(event: InboundEvent, most: int = 3_000) -> Iterator[InboundEvent]:
    """The event with one field after the other replaced by something hostile: about ``most`` of them.

    Where a body has more fields than that allows, each gets some of the values in turn, so that none is left out.
    """
    for name in event.query:
        for text in HOSTILE_TEXTS:
            yield replace(event, query={**event.query, name: text})
    try:
        parsed = orjson.loads(event.body)
    except orjson.JSONDecodeError:
        fields = dict(parse_qsl(event.body.decode("latin-1"), keep_blank_values=True))
        for name, text in _paired(list(fields), HOSTILE_TEXTS, most):
            yield replace(event, body=urlencode({**fields, name: text}, errors="surrogatepass").encode())
        return
    bodies = [json.dumps(bare).encode() for bare in _with_each_leaf_marked(parsed)]
    for body, value in _paired(bodies, HOSTILE_JSON, most):
        yield replace(event, body=body.replace(b'"@@HERE@@"', value))


def _paired(things: Sequence[Any], values: Sequence[Any], most: int) -> Iterator[tuple[Any, Any]]:
    share = min(len(values), max(1, most // max(1, len(things))))
    for place, thing in enumerate(things):
        for turn in range(share):
            yield thing, values[(place * share + turn) % len(values)]


def _with_each_leaf_marked(value: Any) -> Iterator[Any]:
    yield "@@HERE@@"
    if isinstance(value, dict):
        for name, held in value.items():
            for marked in _with_each_leaf_marked(held):
                yield {**value, name: marked}
            yield {other: kept for other, kept in value.items() if other != name}
    if isinstance(value, list):
        for place, held in enumerate(value):
            for marked in _with_each_leaf_marked(held):
                yield [*value[:place], marked, *value[place + 1 :]]


class InboundSuite(ABC):
    """Bind it by subclassing in ``tests/connectors/inbound/test_<type>.py``.

    Attributes:
        type: the adapter's file name.
        source: settings beside ``adapter``, with the credentials that :meth:`event` shows.
        statuses: :data:`WEBHOOK` or :data:`SYNCHRONOUS`, with the protocol's exceptions.
        captured: file in ``tests/payloads/<type>/`` -> the commands it means; none for one that is of no use.
    """

    type: ClassVar[str]
    source: ClassVar[dict[str, Any]]
    statuses: ClassVar[Mapping[Kind, int]] = WEBHOOK
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]]

    def event(self, name: str, payload: bytes) -> InboundEvent:
        """Build the request that brings a captured payload, with good credentials."""
        return request(payload)

    @abstractmethod
    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        """Return what is wrong with the credentials -> the event made so: missing, wrong, altered, stale, ..."""

    def places(self) -> Sequence[InboundEvent]:
        """Return good events that show the credential in every place where the protocol lets it stand."""
        return self.events()

    def check_shape(self, reception: Reception, response: Response) -> None:  # noqa: B027 - a protocol may promise none
        """Assert that the body has the protocol's shape."""

    def adapter(self, **changes: Any) -> InboundAdapter:
        """Make the adapter of one source."""
        kind: type[InboundAdapter] = importlib.import_module(f"connectors.inbound.{self.type}").ADAPTER
        return kind(kind.Settings.model_validate({"adapter": self.type, **self.source, **changes}))

    def load(self, name: str) -> InboundEvent:
        """Build the request of one captured file."""
        return self.event(name, (PAYLOADS / self.type / name).read_bytes())

    def events(self) -> list[InboundEvent]:
        """Build the requests of all captured files."""
        return [self.load(name) for name in self.captured]

    def secrets(self) -> list[str]:
        """Return every secret of the source's settings, in the clear."""
        given = self.adapter().Settings.model_validate({"adapter": self.type, **self.source})
        values = [held for value in dict(given).values() for held in (value if isinstance(value, tuple) else [value])]
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    def test_declares_what_the_edge_needs(self) -> None:
        """Addresses, methods, what to blank, and a line for the docs."""
        adapter = self.adapter()
        assert isinstance(adapter, InboundAdapter)
        assert issubclass(adapter.Settings, SourceSettings)
        assert all(isinstance(route, Route) and route.methods and route.path[0] == "/" for route in adapter.routes)
        assert adapter.methods
        assert all(name == name.lower() for name in adapter.kept_headers)
        assert adapter.product_id.endswith(".")
        assert adapter.setup
        assert all(step.endswith(".") for step in adapter.setup)
        assert adapter.unverified == "" or adapter.unverified.endswith(".")
        assert type(adapter).__doc__
        assert bool(adapter.credentials()) == bool(adapter.routes)

    def test_every_setting_that_is_secret_says_so(self) -> None:
        """A secret shows in no message about the settings."""
        assert self.secrets()
        given = self.adapter().Settings.model_validate({"adapter": self.type, **self.source})
        assert not [secret for secret in self.secrets() if secret in repr(given)]

    def test_an_empty_secret_is_a_fault_of_the_settings(self) -> None:
        """It would let in whoever shows none."""
        for name in [name for name, value in self.source.items() if value in self.secrets()]:
            with pytest.raises(ValidationError, match=name):
                self.adapter(**{name: ""})

    def test_good_credentials_are_accepted_wherever_they_may_stand(self) -> None:
        """And where the address is shared, they say whose event it is."""
        adapter = self.adapter()
        for event in self.places():
            adapter.verify(event)
            if adapter.routes:
                assert adapter.credential(event) in adapter.credentials()

    def test_bad_credentials_are_refused(self) -> None:
        """Missing, wrong, altered or stale: nothing is proven."""
        adapter = self.adapter()
        for event in self.places():
            forged = self.forged(event)
            assert forged, "there is at least one way to be wrong"
            for how, bad in forged.items():
                assert refused(adapter, bad), f"accepted although the credential is {how}"

    def test_a_refusal_repeats_no_secret(self) -> None:
        """Neither the one that was expected nor the one that was shown."""
        for bad in self.forged(self.places()[0]).values():
            with pytest.raises(SignatureInvalid) as refusal:
                self.adapter().verify(bad)
            assert not [secret for secret in self.secrets() if secret in str(refusal.value)]

    def test_captured_payloads_become_exactly_the_expected_commands(self) -> None:
        """All of them, and nothing else."""
        assert self.captured
        for name, expected in self.captured.items():
            assert list(expected) == self.adapter().normalise(self.load(name)), name

    def test_the_same_event_gives_the_same_commands(self) -> None:
        """Also after another one, and from an adapter that was made anew: nothing is remembered."""
        adapter = self.adapter()
        first = [adapter.normalise(event) for event in self.events()]
        assert first == [adapter.normalise(event) for event in self.events()]
        assert first == [self.adapter().normalise(event) for event in self.events()]

    def test_what_is_stored_holds_no_secret_and_means_the_same(self) -> None:
        """Replay and release see the event with its credential fields blank and few headers."""
        adapter = self.adapter()
        for event in (*self.events(), *self.places()):
            for blank in ("", "•••"):
                kept = stored(event, adapter, blank)
                shown = repr((kept.query, kept.headers, kept.body))
                assert not [secret for secret in self.secrets() if secret in shown]
                assert adapter.normalise(event) == adapter.normalise(kept)

    def test_commands_survive_being_written_and_read(self) -> None:
        """The ledger keeps them as JSON."""
        for event in self.events():
            for command in self.adapter().normalise(event):
                assert command == EnrollmentCommand.model_validate_json(command.model_dump_json())

    @pytest.mark.parametrize("kind", get_args(Kind))
    def test_answers_every_reception_in_the_protocols_shape(self, kind: Kind) -> None:
        """With the status of the design, as JSON, without a secret; never a redirect, never 410."""
        for event in (*self.events(), *self.places()):
            reception = self.reception(kind, event)
            response = self.adapter().respond(event, reception)
            assert response.status == self.statuses[kind]
            said = response.body if isinstance(response.body, bytes) else orjson.dumps(response.body)
            shown = said.decode() + repr(dict(response.headers))
            assert not [secret for secret in self.secrets() if secret in shown]
            assert (response.headers.get("Retry-After") == "7") == (kind == "unavailable")
            self.check_shape(reception, response)

    def reception(self, kind: Kind, event: InboundEvent) -> Reception:
        """Build what intake would say of an event."""
        faults = {"email": "The email is wrong."} if kind in ("invalid", "unreadable") else {}
        items = [item for command in self.adapter().normalise(event) for item in command.items]
        lines = tuple(
            AcceptedLine(place, item.remote_product_id, None if place % 2 else "https://x.example/c", False, "pending")
            for place, item in enumerate(items, start=583_919)
        )
        return Reception(kind, lines if kind == "accepted" else (), faults, retry_after=7)

    @cached_property
    def enduring(self) -> InboundAdapter:
        """One adapter for thousands of events: that it remembers nothing is another test's matter."""
        return self.adapter()

    @cached_property
    def known_secrets(self) -> list[str]:
        """The secrets, read once."""
        return self.secrets()

    def endures(self, event: InboundEvent) -> None:
        """Assert that an event whatsoever is refused in the contract's way, or becomes something that can be kept."""
        adapter = self.enduring
        for ask in (adapter.credential, adapter.verify, adapter.normalise):
            found = asked(ask, event)
            if isinstance(found, PayloadInvalid):
                assert found.faults
                assert orjson.dumps(found.faults)
                assert not [secret for secret in self.known_secrets if secret in str(found)]
            elif isinstance(found, SignatureInvalid):
                assert ask == adapter.verify
            for meaning in found if isinstance(found, list | tuple) else ():
                if isinstance(meaning, Unreadable):
                    assert meaning.faults
                    assert "\\u0000" not in orjson.dumps([meaning.row, meaning.faults]).decode()
                else:
                    self.can_be_kept(meaning)

    def can_be_kept(self, command: EnrollmentCommand) -> None:
        """Assert that a command survives the ledger: JSON without NUL, ids that fit, an e-mail that compares."""
        written = command.model_dump_json()
        assert command == EnrollmentCommand.model_validate_json(written)
        assert "\\u0000" not in written
        assert command.registration_id is None or abs(command.registration_id) < 2**63
        if command.learner is not None and command.learner.email is not None:
            assert "@" in email_key(command.learner.email)

    def test_endures_hostile_values_in_every_field(self) -> None:
        """Deep nesting, huge numbers, NUL, lone surrogates, a megabyte of text: invalid, and nothing else."""
        events = [*self.events(), *self.places()]
        for event in events:
            for mutant in mutants(event, 3_000 // len(events)):
                self.endures(mutant)

    @given(body=st.binary(max_size=200) | st.sampled_from(HOSTILE_JSON), data=st.data())
    @GARBAGE
    def test_endures_any_bytes(self, body: bytes, data: st.DataObject) -> None:
        """Whatever somebody posts to whichever of its addresses."""
        self.endures(request(body, path=data.draw(self.paths)))

    @given(data=st.data())
    @GARBAGE
    def test_endures_any_json(self, data: st.DataObject) -> None:
        """Also with the fields that it looks for."""
        value = data.draw(self.likely_json)
        body = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
        self.endures(request(body, path=data.draw(self.paths)))

    @given(data=st.data())
    @GARBAGE
    def test_endures_any_query_and_form(self, data: st.DataObject) -> None:
        """Also with the fields that it looks for."""
        query, form = data.draw(self.likely_fields), data.draw(self.likely_fields)
        body = urlencode(form, errors="surrogatepass").encode()
        self.endures(request(body, method=data.draw(st.sampled_from(("GET", "POST"))), query=query))

    @cached_property
    def paths(self) -> st.SearchStrategy[str]:
        """Its addresses."""
        return st.sampled_from(["/in/source", *(route.path for route in self.enduring.routes)])

    @cached_property
    def likely_json(self) -> st.SearchStrategy[Any]:
        """Any JSON, and objects with the fields that it looks for; made once, for that takes longer than to draw one."""
        likely = self.likely(ANY_JSON)
        return ANY_JSON | st.lists(likely, max_size=3) | likely

    @cached_property
    def likely_fields(self) -> st.SearchStrategy[dict[str, str]]:
        """Fields of a form or a query."""
        return self.likely(ANY_TEXT)

    def likely(self, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        """Dictionaries with the names of the captured payloads, and now and then another."""
        names: set[str] = set()
        for event in (*self.events(), *self.places()):
            names.update(event.query)
            try:
                names.update(names_in(orjson.loads(event.body)))
            except orjson.JSONDecodeError:
                names.update(name for name, _ in parse_qsl(event.body.decode("latin-1")))
        return st.dictionaries(st.sampled_from(sorted(names)) | ANY_TEXT, values, max_size=12)
