"""Reading the fields of one row by their expressions, and making a command of them.

Values are taken as senders write them: text or numbers, flags as words, times and amounts in several forms. What can't
be read is a fault that names the field of the command and the expression; all faults of a row are told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import PayloadInvalid
from bridge.kit.expressions import ExpressionFailed, Scope
from bridge.kit.mapping import Money, Value
from bridge.kit.merge_fields import NOT_REPLACED, left_over
from bridge.kit.money import major, minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import command

Specs = Mapping[str, Value | tuple[Value, ...]]

_LARGEST = 2**63 - 1
_LARGEST_EXACT = 2**53
_MILLISECONDS = 100_000_000_000  # a larger number of seconds would be the year 5138
_ENDLESS = 9_000  # the year 9999 stands for "never"
_YES = frozenset({"true", "1", "yes", "y", "on"})
_NO = frozenset({"false", "0", "no", "n", "off"})
_REAL = _YES | {"live", "production"}
_NOT_REAL = _NO | {"test", "sandbox"}
_NEEDS_LEARNER = ("enroll", "update")


@dataclass(frozen=True, slots=True)
class Times:
    """How a source writes times.

    Attributes:
        zone: of those that don't say theirs.
        form: of those that are neither ISO 8601 nor a number.
        grace: how much longer than a paid period access lasts.
    """

    zone: tzinfo
    form: str
    grace: timedelta

    def read(self, value: Any) -> datetime | None:
        """Return a time; None for what is none."""
        if isinstance(value, str):
            text = value.strip()
            if not (text.isascii() and text.isdigit() and 9 <= len(text) <= 13):
                return self._written(text)
            value = int(text)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            return None
        try:
            return datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS else value, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def _written(self, text: str) -> datetime | None:
        for read in (self._in_form, datetime.fromisoformat):
            try:
                found = read(text)
                return (found.replace(tzinfo=self.zone) if found.tzinfo is None else found).astimezone(UTC)
            except (ValueError, OverflowError):
                continue
        return None

    def _in_form(self, text: str) -> datetime:
        if not self.form:
            raise ValueError("no form of its own")
        return datetime.strptime(text, self.form)  # noqa: DTZ007 - the zone is added by the caller


@dataclass(frozen=True, slots=True)
class Row:
    """One row, or one order line of it, and the fields that are read from it. Faults are collected, not raised."""

    scope: Scope
    value: Any
    specs: Specs
    times: Times
    faults: dict[str, str]
    line: int | None = None

    def command(self, action: str, received_at: datetime) -> EnrollmentCommand:
        """Return the command that the row means.

        Raises:
            PayloadInvalid: it can't be understood; every fault at once.
        """
        order = self._order()
        values = {
            "action": action,
            "event_key": self.maybe("event_key"),
            "business_key": self.maybe("business_key"),
            "occurred_at": self.moment("occurred_at") or received_at,
            "livemode": self._livemode(),
            "registration_id": self.whole("registration_id"),
            "learner": self._person("learner"),
            "buyer": self._person("buyer"),
            "items": list(self._items(order["currency"])),
            "order": order,
            "options": self._options(),
        }
        if action == "refund":
            values["refund"] = {"full": self.flag("refund.full", True), "pending": self.flag("refund.pending", False)}
        if action == "progress":
            values["progress"] = {"kind": self._needed("progress.kind"), "percent": self.whole("progress.percent")}
        self._check_complete(action, values)
        self.raise_faults()
        try:
            return command(**{name: value for name, value in values.items() if value is not None})
        except PayloadInvalid as wrong:
            raise PayloadInvalid({name: said + self.origin(name) for name, said in wrong.faults.items()}) from None

    def raise_faults(self) -> None:
        """Raise what was found wrong so far.

        Raises:
            PayloadInvalid: something was.
        """
        if self.faults:
            raise PayloadInvalid(self.faults)

    def origin(self, name: str) -> str:
        """Return where a field comes from, to be put behind what is wrong with it."""
        plain = ".".join(step for step in name.split(".") if not step.isdigit())
        found = self.specs.get(plain)
        spec = found[0] if isinstance(found, tuple) else found
        return "" if spec is None or spec.from_ is None else f" (from {spec.from_})"

    def text(self, name: str, *, may_be_missing: bool = False) -> str:
        """Return text or a whole number as text; nothing where there is none.

        A merge field that was not replaced is a fault, except where the field ``may_be_missing``.
        """
        found = self._found(name)
        return "" if found is None else self._as_text(found, name, may_be_missing)

    def maybe(self, name: str, *, may_be_missing: bool = False) -> str | None:
        """Return as :meth:`text`, or None where there is none."""
        return self.text(name, may_be_missing=may_be_missing) or None

    def flag(
        self, name: str, default: bool | None, yes: frozenset[str] = _YES, no: frozenset[str] = _NO
    ) -> bool | None:
        """Return whether something is so: true or false, 1 or 0, yes or no, on or off."""
        found = self._found(name)
        if found is None or isinstance(found, bool):
            return default if found is None else found
        word = self._as_text(found, name, False).lower()
        if word and word not in yes | no:
            self._fault(name, "must be true or false")
        return word in yes if word else default

    def moment(self, name: str) -> datetime | None:
        """Return a time: ISO 8601, seconds or milliseconds since 1970, or in the source's own form."""
        found = self._found(name)
        if found is None:
            return None
        moment = None if isinstance(found, bool) else self.times.read(found)
        if moment is None and not self._is_left_over(found, name):
            self._fault(name, "must be a time, such as 2026-11-22T10:00:00Z")
        return moment

    def whole(self, name: str) -> int | None:
        """Return a whole number, also one written as text."""
        found = self._found(name)
        if found is None:
            return None
        amount = major(found)
        if amount is not None and amount == amount.to_integral_value() and abs(amount) <= _LARGEST:
            return int(amount)
        if not self._is_left_over(found, name):
            self._fault(name, "must be a whole number")
        return None

    def money(self, name: str, currency: str | None) -> Decimal | None:
        """Return an amount in major units."""
        spec, found = self.specs.get(name), self._found(name)
        if found is None or not isinstance(spec, Money):
            return None
        if isinstance(found, str) and spec.strip:
            found = found.translate({ord(character): None for character in spec.strip})
        amount = minor(found, currency, digits=spec.digits) if spec.minor_units else major(found)
        if amount is None and not self._is_left_over(found, name):
            expected = "a whole number of cents" if spec.minor_units else "an amount with a point, such as 49.90"
            self._fault(name, f"must be {expected}")
        return amount

    def texts(self, name: str, *, may_be_missing: bool = False) -> list[str]:
        """Return the texts of a list; one text is a list of one."""
        found = self.specs.get(name)
        values = [self._of(spec, name) for spec in (found if isinstance(found, tuple) else (found,)) if spec]
        flat = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
        texts = [self._as_text(entry, name, may_be_missing) for entry in flat if entry is not None]
        return list(dict.fromkeys(filter(None, texts)))

    def _found(self, name: str) -> Any:
        """Return what stands there, mapped; the default where nothing does."""
        spec = self.specs.get(name)
        return None if spec is None or isinstance(spec, tuple) else self._of(spec, name)

    def _of(self, spec: Value, name: str) -> Any:
        found = None
        if spec.from_ is not None:
            try:
                found = spec.from_.evaluate(self.value, self.scope)
            except ExpressionFailed as failed:
                self._fault(name, str(failed))
                return None
        if found is None or (isinstance(found, str) and not found.strip()):
            return spec.default
        if spec.values:
            return [_mapped(entry, spec) for entry in found] if isinstance(found, list) else _mapped(found, spec)
        return found

    def _as_text(self, found: Any, name: str, may_be_missing: bool) -> str:
        text = _plain(found)
        if text is None:
            self._fault(name, "must be text or a whole number")
        elif "\0" in text:  # no database keeps one
            self._fault(name, "holds a NUL character")
        elif not left_over(text):
            return text
        elif not may_be_missing:
            self._fault(name, NOT_REPLACED)
        return ""

    def _is_left_over(self, found: Any, name: str) -> bool:
        if isinstance(found, str) and left_over(found.strip()):
            self._fault(name, NOT_REPLACED)
            return True
        return False

    def _fault(self, name: str, said: str) -> None:
        head, _, rest = name.partition(".")
        place = name if self.line is None else f"{head}.{self.line}.{rest}"
        self.faults.setdefault(place, said + self.origin(name))

    def _needed(self, name: str) -> str:
        text = self.text(name)
        if not text:
            self._fault(name, "is missing")
        return text

    def _check_complete(self, action: str, values: Mapping[str, Any]) -> None:
        known = any(name.startswith("learner.") for name in self.faults)  # what is wrong with one is told already
        if action in _NEEDS_LEARNER and values["learner"] is None and not known:
            for name in ("learner.email", "learner.remote_user_id"):
                if name in self.specs:
                    self._fault(name, "is missing")
        if action == "enroll" and not values["items"]:
            self._fault("items.each" if "items.each" in self.specs else "items.remote_product_id", "is missing")

    def _livemode(self) -> bool:
        if self.flag("test", False, _YES | {"test", "sandbox"}, _NO | {"live", "production"}):
            return False
        return bool(self.flag("livemode", True, _REAL, _NOT_REAL))

    def _person(self, who: str) -> dict[str, Any] | None:
        email, user_id = self.maybe(f"{who}.email"), self.maybe(f"{who}.remote_user_id")
        if email is None and user_id is None:
            return None
        first, last = first_and_last(
            *(self.text(f"{who}.{name}", may_be_missing=True) for name in ("first_name", "last_name", "name"))
        )
        prefix = f"{who}.attributes."
        attributes = {
            path.removeprefix(prefix): text
            for path in self.specs
            if path.startswith(prefix) and (text := self.text(path, may_be_missing=True))
        }
        return {
            "remote_user_id": user_id,
            "email": email,
            "first_name": first,
            "last_name": last,
            "phone": self.text(f"{who}.phone", may_be_missing=True),
            "attributes": attributes,
        }

    def _items(self, currency: str | None) -> Iterator[dict[str, Any]]:
        if "items.each" not in self.specs:
            if product := self.text("items.remote_product_id"):
                yield self._item(product, currency)
            return
        found = self._found("items.each")
        lines = found if isinstance(found, list) else [] if found is None else [found]
        for place, value in enumerate(lines):
            line = replace(self, value=value, line=place)
            yield line._item(line._needed("items.remote_product_id"), currency)  # noqa: SLF001 - one of our own

    def _item(self, product: str, currency: str | None) -> dict[str, Any]:
        own = self.text("items.currency", may_be_missing=True).upper() or currency
        quantity = self.whole("items.quantity")
        return {
            "remote_product_id": product,
            "quantity": 1 if quantity is None else quantity,
            "amount_paid": self.money("items.amount_paid", own),
            "currency": own,
            "line": self.text("items.line"),
            "returned": self.whole("items.returned"),
        }

    def _order(self) -> dict[str, Any]:
        currency = self.text("order.currency", may_be_missing=True).upper() or None
        words = ("status", "coupon", "payment_method")
        ids = ("number", "transaction_id", "subscription_id")
        return {
            "total": self.money("order.total", currency),
            "currency": currency,
            **{name: self.maybe(f"order.{name}", may_be_missing=True) for name in words},
            **{name: self.maybe(f"order.{name}") for name in ids},
            "refs": self.texts("order.refs"),
        }

    def _options(self) -> dict[str, Any]:
        cancellation = {
            name: self.maybe(f"options.cancellation.{name}", may_be_missing=True)
            for name in ("admin_email", "admin_text", "learner_text")
        }
        notify = self.flag("options.cancellation.notify_learner", None)
        said = notify is not None or any(cancellation.values())
        return {
            "send_email": self.flag("options.send_email", None),
            "full_access": self.flag("options.full_access", False),
            "expires_at": self._expiry(),
            "groups": self.texts("options.groups", may_be_missing=True),
            "cancellation": {**cancellation, "notify_learner": notify} if said else None,
        }

    def _expiry(self) -> datetime | None:
        period_end = self.moment("options.period_end")
        if period_end is not None:
            return period_end + self.times.grace if period_end.year < _ENDLESS else None
        end = self.moment("options.expires_at")
        return end if end is not None and end.year < _ENDLESS else None


def _plain(found: Any) -> str | None:
    """Return text or a whole number as text; None for what is neither."""
    if isinstance(found, str):
        return found.strip()
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return str(found) if abs(found) <= _LARGEST else None
    whole = isinstance(found, float) and found.is_integer() and abs(found) < _LARGEST_EXACT
    return str(int(found)) if whole else None


def _mapped(found: Any, spec: Value) -> Any:
    word = ("true" if found else "false") if isinstance(found, bool) else _plain(found)
    return found if word is None else spec.values.get(word, found)
