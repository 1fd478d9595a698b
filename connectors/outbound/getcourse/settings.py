"""What an operator writes for GetCourse: the target, and a course's table."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, StrictInt, StrictStr, field_validator, model_validator

from bridge.contract.settings import CourseTable, TargetSettings


class GetcourseSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "getcourse"``.

    Attributes:
        base_url: the account's address, as in ``https://ACCOUNT.getcourse.ru``; its own domain where it redirects there.
        key: the secret key of the account's API settings; it needs the right to write.
        status_field: name of an additional field of orders on which a process at GetCourse takes access away.
        revoke_status: what a revocation writes: into that field, or without one into the order's status.
        confirm_revocations: read orders and groups back after a revocation; the export API is slow and its requests few.
    """

    base_url: str
    key: SecretStr
    status_field: str = ""
    revoke_status: Literal["cancelled", "waiting_for_return"] = "cancelled"
    confirm_revocations: bool = True

    @field_validator("base_url")
    @classmethod
    def _of_the_account(cls, address: str) -> str:
        if urlsplit(address).path.strip("/") or urlsplit(address).query:
            msg = 'expected the address of the account alone, such as "https://ACCOUNT.getcourse.ru"'
            raise ValueError(msg)
        return address


def _text(value: int | str) -> str:
    if text := str(value).strip():
        return text
    msg = "expected a code or a name as GetCourse shows it"
    raise ValueError(msg)


Name = Annotated[StrictInt | StrictStr, AfterValidator(_text)]
"""A code or a name; 17 and "17" are the same one."""


class GetcourseCourse(CourseTable):
    """``[courses.*.NAME]``: an offer, a group, or both.

    Attributes:
        offer_code: the unique code in the settings of an offer; an order of it is made.
        product_title: the name of an offer, in place of its code.
        group_name: a group that the person is put into. GetCourse's API takes nobody out of one.
    """

    offer_code: Name | None = None
    product_title: Name | None = None
    group_name: Name | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.offer_code is not None and self.product_title is not None:
            msg = "expected offer_code or product_title, not both: each names the offer"
            raise ValueError(msg)
        if not (self.offer or self.group):
            msg = "expected offer_code or product_title, group_name, or an offer and a group"
            raise ValueError(msg)
        return self

    @property
    def group(self) -> str:
        """The group's name; empty for an offer alone."""
        return str(self.group_name or "")

    @property
    def offer(self) -> dict[str, str]:
        """The parameter that names the offer, and its value; empty for a group alone."""
        named = {"offer_code": self.offer_code, "product_title": self.product_title}
        return {name: str(value) for name, value in named.items() if value is not None}
