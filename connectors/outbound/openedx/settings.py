"""What an operator writes for Open edX: the target, and a course's table."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, field_validator

from bridge.contract.settings import CourseTable, TargetSettings

_COURSE = re.compile(r"(?:course|ccx)-v1:[^\s,+/]+(?:\+[^\s,+/]+)+|[^\s,+/]+/[^\s,+/]+/[^\s,+/]+")
_FIELD = re.compile(r"learner\.[a-z_]+(?:\.\w+)?")


class OpenEdxSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "openedx"``.

    Attributes:
        base_url: address of the LMS (not of Studio), such as ``https://courses.example.org``.
        client_id: of the OAuth application with the grant type client credentials.
        client_secret: its secret.
        user_name: field path of the Open edX user name, such as ``learner.remote_user_id``; where it is empty, and by
            default, people are named by their e-mail address.
        final_slash: whether the address of the bulk enrolment API ends in a slash.
    """

    base_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    user_name: str | None = None
    final_slash: bool = True

    @field_validator("user_name")
    @classmethod
    def _of_the_learner(cls, value: str | None) -> str | None:
        if value is not None and not _FIELD.fullmatch(value):
            msg = 'expected a field of the learner, such as "learner.remote_user_id" or "learner.attributes.edx_name"'
            raise ValueError(msg)
        return value


class OpenEdxCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the course's key with its run, such as ``course-v1:Org+PY101+2026``.
    """

    course_id: str = Field(examples=["course-v1:Org+PY101+2026"])

    @field_validator("course_id")
    @classmethod
    def _a_key(cls, value: str) -> str:
        if not _COURSE.fullmatch(value):
            msg = "expected the key of one course with its run, such as course-v1:Org+PY101+2026"
            raise ValueError(msg)
        return value
