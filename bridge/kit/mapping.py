"""Settings that say where in a sender's body each field of the command stands: the same for every adapter that maps.

A field is written as an expression (``email = "customer.email"``) or as a table (``{ from = "...", values = { ... },
default = "..." }``). The tables mirror :class:`bridge.contract.command.EnrollmentCommand`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bridge.contract.settings import Duration, MarksTestOrders, SettingsModel
from bridge.kit.expressions import Expression

Word = Literal["enroll", "cancel", "refund", "suspend", "resume", "update", "progress", "ignore"]
WORDS: tuple[Word, ...] = ("enroll", "cancel", "refund", "suspend", "resume", "update", "progress", "ignore")
"""What an event may mean: an action of the command, or nothing."""

Scalar = str | bool | int | float


def _short(value: object) -> object:
    if isinstance(value, str):
        return {"from": value}
    if isinstance(value, dict | BaseModel):
        return value
    raise ValueError('expected an expression as text, or a table such as { from = "status", default = "paid" }')


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


class Value(SettingsModel):
    """Where one value comes from.

    Attributes:
        from_: a JMESPath expression on the body.
        values: what stands there -> what it means; a value that is not named stays as it is.
        default: what counts where nothing stands; alone, it is a constant.
    """

    from_: Expression | None = Field(default=None, alias="from")
    values: dict[str, Scalar] = Field(default_factory=dict)
    default: Scalar | None = None

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if self.from_ is None and self.default is None:
            raise ValueError('expected "from", an expression, or "default", a constant')
        return self

    @property
    def constant(self) -> Scalar | None:
        """The one value that it can have; None where that depends on the body."""
        if self.from_ is None:
            return self.default
        found = self.from_.constant
        return self.values.get(found, found) if isinstance(found, str) else None


class Money(Value):
    """Where an amount comes from.

    Attributes:
        minor_units: whether it is counted in the currency's smallest unit (cents).
        digits: how many digits that unit has, for a sender that counts in hundredths whatever the currency.
        strip: characters that are dropped from it, such as ``"$,"``.
    """

    minor_units: bool = False
    digits: int | None = Field(default=None, ge=0, le=4)
    strip: str = ""


OneValue = Annotated[Value, BeforeValidator(_short)]
Amount = Annotated[Money, BeforeValidator(_short)]


class PersonFields(SettingsModel):
    """A learner, or a buyer who is somebody else.

    Attributes:
        remote_user_id: the id that the person keeps at the sender.
        email: their address.
        first_name: their first name.
        last_name: their last name.
        phone: their telephone number.
        attributes: whatever else targets shall be told of the person: name -> where it stands.
        name: first and last name in one; used where neither of the two is given.
    """

    remote_user_id: OneValue | None = None
    email: OneValue | None = None
    name: OneValue | None = None
    first_name: OneValue | None = None
    last_name: OneValue | None = None
    phone: OneValue | None = None
    attributes: dict[str, OneValue] = Field(default_factory=dict)


class ItemFields(SettingsModel):
    """The order lines. Without ``each`` there is one.

    Attributes:
        each: the list of lines; the other expressions are then evaluated on each of them (``@`` is the line itself).
        remote_product_id: what the sender calls the product, as in ``[[products]]``.
        quantity: how many were bought; 1 where nothing is said.
        amount_paid: what was paid for the line.
        currency: of that amount, by its three letters.
        line: the sender's reference of the line, where one order may hold a product twice.
        returned: of a refund: how many of the line's units came back, where others stay.
    """

    each: OneValue | None = None
    remote_product_id: OneValue | None = None
    quantity: OneValue | None = None
    amount_paid: Amount | None = None
    currency: OneValue | None = None
    line: OneValue | None = None
    returned: OneValue | None = None


class OrderFields(SettingsModel):
    """The order; a later event finds the purchase by any of its ids.

    Attributes:
        number: the order's number or id.
        status: the sender's word for how far it is.
        total: what the whole order cost.
        currency: of that total, by its three letters.
        coupon: the code that was used.
        payment_method: how it was paid.
        transaction_id: the payment's id.
        subscription_id: the subscription's id.
        refs: further ids by which a later event may name the order.
    """

    number: OneValue | None = None
    status: OneValue | None = None
    total: Amount | None = None
    currency: OneValue | None = None
    coupon: OneValue | None = None
    payment_method: OneValue | None = None
    transaction_id: OneValue | None = None
    subscription_id: OneValue | None = None
    refs: Annotated[tuple[OneValue, ...], BeforeValidator(_several)] = ()


class CancellationFields(SettingsModel):
    """Texts that go with a cancellation.

    Attributes:
        admin_email: who is told ``admin_text``.
        admin_text: what the administrator is told.
        notify_learner: whether the learner is told.
        learner_text: what the learner is told.
    """

    admin_email: OneValue | None = None
    admin_text: OneValue | None = None
    notify_learner: OneValue | None = None
    learner_text: OneValue | None = None


class OptionFields(SettingsModel):
    """How access is given or taken.

    Attributes:
        send_email: whether the learner shall get a mail of the access.
        full_access: everything at once, where a target can release content bit by bit.
        groups: groups that a target shall put the learner into.
        cancellation: texts that go with a cancellation.
        expires_at: end of access.
        period_end: end of a subscription's paid period; access ends ``period_grace`` later.
    """

    send_email: OneValue | None = None
    full_access: OneValue | None = None
    expires_at: OneValue | None = None
    period_end: OneValue | None = None
    groups: OneValue | None = None
    cancellation: CancellationFields = CancellationFields()


class RefundFields(SettingsModel):
    """What kind of refund; a full one that is final where nothing is said.

    Attributes:
        full: whether all of it goes back.
        pending: whether it is not final yet: it then waits.
    """

    full: OneValue | None = None
    pending: OneValue | None = None


class ProgressFields(SettingsModel):
    """How far a learner is.

    Attributes:
        kind: started, percent, completed or expired.
        percent: how much of the course is done, 0 to 100.
    """

    kind: OneValue | None = None
    percent: OneValue | None = None


class EventFields(SettingsModel):
    """Every field but the action.

    Attributes:
        event_key: the sender's own id of what happened; by it a repeat is known.
        business_key: what makes two events the same purchase, where the order's number does not.
        occurred_at: when it happened; else when it came.
        registration_id: our own number of the registration, where the sender keeps it.
        learner: who gets in.
        buyer: who paid, where it is somebody else.
        items: the order lines.
        order: the order.
        options: how access is given or taken.
        refund: what kind of refund it is.
        progress: how far the learner is.
        livemode: whether the order is real.
        test: whether it is a test, for a sender that says it this way round.
    """

    event_key: OneValue | None = None
    business_key: OneValue | None = None
    occurred_at: OneValue | None = None
    livemode: OneValue | None = None
    test: OneValue | None = None
    registration_id: OneValue | None = None
    learner: PersonFields = PersonFields()
    buyer: PersonFields = PersonFields()
    items: ItemFields = ItemFields()
    order: OrderFields = OrderFields()
    options: OptionFields = OptionFields()
    refund: RefundFields = RefundFields()
    progress: ProgressFields = ProgressFields()


class Fields(EventFields):
    """Where each field of the command stands.

    Attributes:
        action: what happened, in the sender's word; ``actions`` says what it means.
    """

    action: OneValue | None = None


class EventMeaning(SettingsModel):
    """What one of the sender's events means.

    Attributes:
        action: what it does here.
        fields: that stand elsewhere in this event; they replace those of the source.
    """

    action: Word
    fields: EventFields = EventFields()


class When(SettingsModel):
    """A condition on the body; a row for which one of them does not hold is of no use.

    Attributes:
        field: an expression.
        operator: how the two compare: as numbers where both are, else as text.
        value: what to compare with; a list for ``in``.
    """

    field: Expression
    operator: Literal["equal_to", "not_equal_to", "greater_than", "less_than", "contains", "in"]
    value: Any


def _meaning(value: object) -> object:
    return {"action": value} if isinstance(value, str) else value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError('expected the name of a time zone, such as "Europe/Berlin"') from None
    return name


class MapsFields(MarksTestOrders):
    """What every source takes whose body is mapped by expressions.

    Attributes:
        each: the rows of a post with many; the other expressions are then evaluated on each of them.
        actions: the sender's event name -> what it means: one of enroll, cancel, refund, suspend, resume, update,
            progress, ignore; or a table with ``action`` and the ``fields`` that stand elsewhere in this event.
        unknown_actions: what happens to an event that ``actions`` does not name.
        fields: where each field of the command stands.
        when: conditions; an event for which one does not hold is of no use.
        timezone: of times that don't say theirs.
        time_format: of times that are neither ISO 8601 nor seconds since 1970, as in ``"%m/%d/%Y %I:%M %p"``.
        period_grace: how much longer access lasts than ``fields.options.period_end``, so that a late renewal takes
            nothing away.
    """

    presets: ClassVar[Mapping[str, str]] = {}
    """Fields that stand in the same place whoever sends: path -> expression."""

    each: Expression | None = None
    actions: dict[str, Annotated[EventMeaning, BeforeValidator(_meaning)]] = Field(default_factory=dict)
    unknown_actions: Literal["quarantine", "ignore"] = "quarantine"
    fields: Fields = Field(
        examples=[
            {
                "action": {"default": "enroll"},
                "learner": {"email": "customer.email"},
                "items": {"remote_product_id": "product.id"},
            }
        ]
    )
    when: tuple[When, ...] = ()
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    time_format: str = ""
    period_grace: Duration = timedelta(days=3)

    @field_validator("fields")
    @classmethod
    def _fields_suffice(cls, fields: Fields, info: ValidationInfo) -> Fields:
        actions = info.data.get("actions")
        if actions is not None:  # else its own fault is told first
            wanting = [*_unclear(cls.written(fields).get("action"), actions), *_wanting(cls.written(fields), actions)]
            if wanting:
                raise ValueError("; ".join(dict.fromkeys(wanting)))
        return fields

    @classmethod
    def written(cls, fields: EventFields, *, alone: bool = True) -> dict[str, Value | tuple[Value, ...]]:
        """Return what is written, by path; together with the presets unless it only replaces something."""
        presets = {path: Value.model_validate({"from": text}) for path, text in cls.presets.items()} if alone else {}
        return {**presets, **dict(_flat(fields, ""))}

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """Yield every expression and where it stands."""
        if self.each is not None:
            yield "each", self.each
        for place, when in enumerate(self.when):
            yield f"when[{place}].field", when.field
        tables: dict[str, EventFields] = {"fields": self.fields}
        tables |= {f'actions."{name}".fields': meaning.fields for name, meaning in self.actions.items()}
        for table, fields in tables.items():
            for path, found in _flat(fields, ""):
                for value in found if isinstance(found, tuple) else (found,):
                    if value.from_ is not None:
                        yield f"{table}.{path}", value.from_


def _flat(model: BaseModel, prefix: str) -> Iterator[tuple[str, Value | tuple[Value, ...]]]:
    for name, value in model:
        path = prefix + name
        if isinstance(value, Value) or (isinstance(value, tuple) and value):
            yield path, value
        elif isinstance(value, dict):
            yield from ((f"{path}.{inner}", held) for inner, held in value.items())
        elif isinstance(value, BaseModel):
            yield from _flat(value, f"{path}.")


def _unclear(action: Any, actions: Mapping[str, EventMeaning]) -> Iterator[str]:
    if action is None:
        yield 'action is missing: write an expression that finds the event\'s name, or { default = "enroll" }'
    elif action.constant is not None and not actions and action.constant not in WORDS:
        yield f"action is always '{action.constant}'; expected one of {', '.join(WORDS)}"
    elif action.constant is not None and actions and str(action.constant) not in actions:
        yield f"action is always '{action.constant}', which actions does not name"


_FINDING = frozenset(
    {
        *("registration_id", "business_key", "order.number", "order.transaction_id", "order.subscription_id"),
        *("order.refs", "learner.email", "learner.remote_user_id"),
    }
)


def _wanting(base: Mapping[str, Any], actions: Mapping[str, EventMeaning]) -> Iterator[str]:
    action = base.get("action")
    meanings = {(meaning.action, frozenset(dict(_flat(meaning.fields, "")))) for meaning in actions.values()}
    if not actions and action is not None and action.constant in WORDS:
        meanings = {(action.constant, frozenset())}
    for word, replaced in sorted(meanings, key=str):
        paths = base.keys() | replaced
        if word in ("enroll", "update") and not paths & {"learner.email", "learner.remote_user_id"}:
            yield f"learner.email (or learner.remote_user_id) is missing; {word} needs it"
        if word == "enroll" and "items.remote_product_id" not in paths:
            yield "items.remote_product_id is missing; enroll needs it"
        if word == "progress" and "progress.kind" not in paths:
            yield "progress.kind is missing; progress needs it"
        if word in ("cancel", "refund", "suspend", "resume") and not paths & _FINDING:
            yield f"{word} needs a field to find the purchase by, such as business_key or order.number"
