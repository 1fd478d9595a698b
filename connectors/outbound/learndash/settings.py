"""What an operator writes for LearnDash: the site and a course's table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from bridge.contract.settings import CourseTable, TargetSettings


def _number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and value.strip().isdecimal() and int(value) > 0:
        return int(value)
    msg = "expected the course's number, as in post=42 of its address in the WordPress editor"
    raise ValueError(msg)


class LearnDashSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "learndash"``.

    Attributes:
        base_url: address of the WordPress site, without ``/wp-json``.
        username: a WordPress administrator for the bridge.
        application_password: one made for that user under Users, Profile, Application Passwords.
        rest_route: speak through ``/?rest_route=``, for a site without pretty permalinks.
        api_version: of LearnDash's API; ``v1`` for a plug-in older than 3.3.
        role: of new users.
        concurrency: deliveries under way at once; shared hosts are slow and their security plug-ins wary.
    """

    base_url: str
    username: str = Field(min_length=1)
    application_password: SecretStr
    rest_route: bool = False
    api_version: Literal["v1", "v2"] = "v2"
    role: str = Field(default="subscriber", min_length=1)
    concurrency: int = Field(default=1, ge=1, le=256)

    @field_validator("base_url")
    @classmethod
    def _without_the_api(cls, url: str) -> str:
        if "/wp-json" in url or "rest_route" in url:
            msg = 'expected the site\'s address without /wp-json, such as "https://school.example.org"'
            raise ValueError(msg)
        return url

    @field_validator("username")
    @classmethod
    def _without_a_colon(cls, name: str) -> str:
        if ":" in name:
            msg = "expected a WordPress user name, which has no colon in it"
            raise ValueError(msg)
        return name


class LearnDashCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: number of the course, as in ``post=42`` of its address in the WordPress editor.
    """

    course_id: Annotated[int, BeforeValidator(_number)]
