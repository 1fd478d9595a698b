"""What an operator writes for Academy of Mine: the target, its routes and its header, and a course's table."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bridge.contract.settings import CourseTable, SettingsModel, TargetSettings

PLACEHOLDER = re.compile(r"\{(?:\w+_)?id\}")
_ROUTE = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) +/[^\s{}]*(?:\{(?:\w+_)?id\}[^\s{}]*)?")


class AcademyOfMineRoutes(SettingsModel):
    """``[targets.NAME.routes]``: operation = ``"METHOD /path/{id}"``. The defaults are assumed.

    The names are ours, one for each operation of the vendor's reference; ``{course_id}`` and the like mean ``{id}``.

    Attributes:
        search_users: finds an account by its e-mail address.
        create_user: makes an account.
        read_user: reads one account.
        update_user: changes an account's name and address.
        edit_users: enables or disables accounts.
        resend_email: has the school send its welcome mail.
        enrolled_courses: lists what an account is enrolled in.
        list_courses: lists the school's courses.
        enroll: enrolls somebody in a course.
        remove: takes a learner out of a course.
        revoke_access: takes the access to a course away and keeps the progress.
        grant_access: gives such access back.
        set_expiry: sets the day on which access to a course ends.
        reset_progress: lets a learner begin a course anew.
        list_learning_paths: lists the school's learning paths.
        learning_path_students: lists who is in a learning path.
        learning_path_enroll: enrolls somebody in a learning path.
        learning_path_remove: takes a learner out of a learning path.
        list_memberships: lists the school's memberships.
        update_membership: sets the membership of an account.
        read_portal: reads a portal and its seats.
        add_to_portal: adds a learner to a portal.
        list_products: lists what the school's shop sells.
        list_orders: finds the orders of an account.
        read_order: reads one order.
        create_order: makes an order.
        order_status: sets the status of an order.
        refund_order: marks an order as refunded.
    """

    search_users: str = "GET /api/v1/users/lookup"
    create_user: str = "POST /api/v1/users"
    read_user: str = "GET /api/v1/users/{id}"
    update_user: str = "PUT /api/v1/users/{id}"
    edit_users: str = "POST /api/v1/users/quick-edit"
    resend_email: str = "POST /api/v1/users/resend-new-account-email"
    enrolled_courses: str = "GET /api/v1/users/enrolled-courses"
    list_courses: str = "GET /api/v1/courses"
    enroll: str = "POST /api/v1/courses/{id}/enroll"
    remove: str = "POST /api/v1/courses/{id}/remove-learners"
    revoke_access: str = "POST /api/v1/courses/{id}/revoke-access"
    grant_access: str = "POST /api/v1/courses/{id}/grant-access"
    set_expiry: str = "POST /api/v1/courses/{id}/set-expiry"
    reset_progress: str = "POST /api/v1/courses/{id}/reset-progress"
    list_learning_paths: str = "GET /api/v1/learning-paths"
    learning_path_students: str = "GET /api/v1/learning-paths/enrolled-students"
    learning_path_enroll: str = "POST /api/v1/learning-paths/{id}/enroll"
    learning_path_remove: str = "POST /api/v1/learning-paths/{id}/remove-learners"
    list_memberships: str = "GET /api/v1/memberships"
    update_membership: str = "POST /api/v1/users/{id}/membership"
    read_portal: str = "GET /api/v1/portals/details"
    add_to_portal: str = "POST /api/v1/portals/add-learners"
    list_products: str = "GET /api/v1/products"
    list_orders: str = "GET /api/v1/orders"
    read_order: str = "GET /api/v1/orders/details"
    create_order: str = "POST /api/v1/orders"
    order_status: str = "POST /api/v1/orders/{id}/status"
    refund_order: str = "POST /api/v1/orders/refund"

    @field_validator("*")
    @classmethod
    def _readable(cls, text: str, info: ValidationInfo) -> str:
        usual = cls.model_fields[str(info.field_name)].default
        if _ROUTE.fullmatch(text) and bool(PLACEHOLDER.search(text)) == bool(PLACEHOLDER.search(usual)):
            return text
        msg = f'expected a method, a space and a path, such as "{usual}"'
        raise ValueError(msg)


class AcademyOfMineAuth(SettingsModel):
    """``[targets.NAME.auth]``: the header that carries the key, ``value`` being a template around ``{api_key}``.

    Attributes:
        header: name of the header.
        value: what stands in it; ``{api_key}`` is replaced by the target's ``api_key``.
    """

    header: str = "Authorization"
    value: str = "Bearer {api_key}"

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if "{api_key}" not in self.value or not re.fullmatch(r"[A-Za-z0-9-]+", self.header):
            msg = 'expected a header name, and a value with {api_key} in it, such as "Bearer {api_key}"'
            raise ValueError(msg)
        return self


def _text_keys(given: object) -> object:
    return {str(key): value for key, value in given.items()} if isinstance(given, dict) else given


class AcademyOfMineOrders(SettingsModel):
    """``[targets.NAME.orders]``: purchases as orders of the school's own shop, so that its sales reports are right.

    Without ``products`` there are none. An order never keeps a learner out: what could not be done about it stands in
    the delivery's note.

    Attributes:
        products: remote_product_id = id of the shop's product; what is not here makes no order.
        currency: of the shop; a purchase in another one makes no order.
        status: of a new order.
        refund: which ends refund the order: of a purchase that was ``refunded``, or also ``cancelled``; ``every`` one (also
            the end of access by date), or ``never``.
    """

    products: Annotated[dict[str, StrictInt], BeforeValidator(_text_keys)] = Field(default_factory=dict)
    currency: Annotated[str, Field(pattern="^([A-Z]{3})?$")] = ""
    status: Literal["PENDING_PAYMENT", "COMPLETED"] = "COMPLETED"
    refund: Literal["refunded", "cancelled", "every", "never"] = "cancelled"

    @model_validator(mode="after")
    def _in_a_currency(self) -> Self:
        if self.products and not self.currency:
            msg = 'expected currency, the one of the school\'s shop, such as "USD": a sum says little without it'
            raise ValueError(msg)
        return self


class AcademyOfMineSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "academy_of_mine"``.

    Attributes:
        api_key: the key that the vendor gave you.
        auth: which header carries it; default: ``Authorization: Bearer KEY``.
        routes: addresses of the API, where yours differ from the assumed ones.
        portal_id: the portal whose learners these are; default: none. For several portals, write one target each, with
            ``only_if``.
        join_portal: whether somebody who is not in the portal is added to its learners, which takes a seat.
        revoke: ``revoke`` takes access to a course away and keeps the progress; ``remove`` removes the learner.
        after_expiry: what a purchase after the end of access does with the progress: ``keep`` or ``reset``.
        disable_user: whether an account is disabled when nothing is left that it gives access to; the next purchase
            enables it again. A learning path whose courses the account does not show is not seen.
        orders: purchases as orders of the school's own shop.
    """

    base_url: str
    api_key: SecretStr
    auth: AcademyOfMineAuth = AcademyOfMineAuth()
    routes: AcademyOfMineRoutes = AcademyOfMineRoutes()
    portal_id: Annotated[int, Field(gt=0)] | None = None
    join_portal: bool = True
    revoke: Literal["revoke", "remove"] = "revoke"
    after_expiry: Literal["keep", "reset"] = "keep"
    disable_user: bool = False
    orders: AcademyOfMineOrders = AcademyOfMineOrders()


def _one_spelling(value: int | str) -> str:
    if text := str(value).strip():
        return text
    msg = "expected an id"
    raise ValueError(msg)


RemoteId = Annotated[StrictInt | StrictStr, AfterValidator(_one_spelling)]
"""An id as the vendor's pages show it; 42 and "42" are the same one."""


class AcademyOfMineCourse(CourseTable):
    """``[courses.*.NAME]``: exactly one of the three.

    Attributes:
        course_id: of a course.
        learning_path_id: of a learning path.
        membership_id: of a membership; a person has one at a time, the latest.
    """

    course_id: RemoteId | None = None
    learning_path_id: RemoteId | None = None
    membership_id: RemoteId | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.course_id, self.learning_path_id, self.membership_id)) != 1:
            msg = "expected exactly one of course_id, learning_path_id and membership_id"
            raise ValueError(msg)
        return self

    @property
    def id(self) -> str:
        """The id, whichever it is."""
        return str(self.course_id or self.learning_path_id or self.membership_id)
