"""What an operator writes for Thinkific: the target, and a course's table."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, StrictInt, StrictStr, field_validator, model_validator

from bridge.contract.settings import CourseTable, TargetSettings

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_Secret = Annotated[SecretStr, Field(min_length=1)]


class ThinkificSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "thinkific"``: either an API key and the subdomain, or an OAuth token.

    Attributes:
        base_url: the vendor's address, the same for every site.
        api_key: the site's API key (Settings, Code & analytics, API).
        subdomain: the first part of ``SUBDOMAIN.thinkific.com``; goes with the API key.
        access_token: of an OAuth app, instead of the two.
    """

    base_url: str = "https://api.thinkific.com"
    api_key: _Secret | None = None
    subdomain: str | None = None
    access_token: _Secret | None = None

    @field_validator("subdomain")
    @classmethod
    def _one_label(cls, value: str | None) -> str | None:
        if value is not None and not _SUBDOMAIN.fullmatch(value):
            msg = 'expected the first part of SUBDOMAIN.thinkific.com alone, such as "school"'
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        key, site, token = self.api_key is not None, self.subdomain is not None, self.access_token is not None
        if (key and site) == token or key != site:
            msg = "expected either api_key and subdomain, or access_token"
            raise ValueError(msg)
        return self


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
