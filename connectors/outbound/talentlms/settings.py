"""What an operator writes for TalentLMS: the target, and a course's table."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StrictInt

from bridge.contract.settings import CourseTable, TargetSettings


def _portal(address: str) -> str:
    if "/api" in address.partition("://")[2]:
        msg = 'expected the address of the portal without /api, such as "https://samples.talentlms.com"'
        raise ValueError(msg)
    return address


class TalentLmsSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "talentlms"``.

    Attributes:
        base_url: address of the portal, ``https://DOMAIN.talentlms.com``.
        api_key: from Account & Settings, Integrations, API.
        api_version: a date; the API then behaves as it did on it.
    """

    base_url: Annotated[str, AfterValidator(_portal)]
    api_key: SecretStr = Field(min_length=1)
    api_version: str = Field(default="2025-07-01", pattern=r"^\d{4}-\d{2}-\d{2}$")


class TalentLmsCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the number in the address of the course's page.
    """

    course_id: Annotated[StrictInt, Field(ge=1)]
