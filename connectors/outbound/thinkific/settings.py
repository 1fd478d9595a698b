"""What an operator writes for Thinkific: the target, and a course's table."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StrictInt, StrictStr, field_validator

from bridge.contract.settings import CourseTable, TargetSettings

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


class ThinkificSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "thinkific"``.

    Attributes:
        base_url: the vendor's address, the same for every site.
        api_key: the site's API key (Settings, Code & analytics, API), or the access token of an OAuth app.
        subdomain: the first part of ``SUBDOMAIN.thinkific.com``.
        auth: what ``api_key`` is: ``api_key`` goes along with the subdomain, ``oauth`` alone as a bearer token.
    """

    base_url: str = "https://api.thinkific.com"
    api_key: SecretStr = Field(min_length=1)
    subdomain: str = Field(examples=["school"])
    auth: Literal["api_key", "oauth"] = "api_key"

    @field_validator("subdomain")
    @classmethod
    def _one_label(cls, value: str) -> str:
        if not _SUBDOMAIN.fullmatch(value):
            msg = 'expected the first part of SUBDOMAIN.thinkific.com alone, such as "school"'
            raise ValueError(msg)
        return value


def _number(value: int | str) -> int:
    text = str(value).strip()
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    msg = "expected the number of a course, as in its address at Thinkific (.../courses/42)"
    raise ValueError(msg)


class ThinkificCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the course's number; 42 and "42" are the same one.
    """

    course_id: Annotated[StrictInt | StrictStr, AfterValidator(_number)]
