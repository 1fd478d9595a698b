"""What an operator writes for Teachable: the target, and a course's table."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StrictInt, StrictStr

from bridge.contract.settings import CourseTable, TargetSettings


class TeachableSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "teachable"``.

    Attributes:
        base_url: the vendor's address, the same for every school.
        api_key: the school's API key (Settings, API), which names the school.
    """

    base_url: str = "https://developers.teachable.com"
    api_key: SecretStr = Field(min_length=1)


def _number(value: int | str) -> int:
    text = str(value).strip()
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    msg = "expected the number of a course, as in its address in Teachable's admin (.../courses/42)"
    raise ValueError(msg)


class TeachableCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the course's number; 42 and "42" are the same one.
    """

    course_id: Annotated[StrictInt | StrictStr, AfterValidator(_number)]
