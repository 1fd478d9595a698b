"""What an operator writes for Canvas: the target and a course's table."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StrictInt, StrictStr, field_validator

from bridge.contract.settings import CourseTable, TargetSettings
from bridge.kit.fields import placeholders, stray_brace

EnrollmentType = Literal[
    "StudentEnrollment", "TeacherEnrollment", "TaEnrollment", "ObserverEnrollment", "DesignerEnrollment"
]


def _id_of(kind: str, *words: str) -> AfterValidator:
    """Return a check for a number as Canvas shows it, or an id of the school's own behind its kind's prefix."""
    shape = re.compile(rf"\d+(?:~\d+)?|sis_{kind}_id:\S(?:.*\S)?{''.join('|' + word for word in words)}")

    def checked(value: int | str) -> str:
        if shape.fullmatch(text := str(value).strip()):
            return text
        msg = f'expected the number that Canvas shows, or the SIS id as "sis_{kind}_id:..."'
        raise ValueError(msg)

    return AfterValidator(checked)


CourseId = Annotated[StrictInt | StrictStr, _id_of("course")]
SectionId = Annotated[StrictInt | StrictStr, _id_of("section")]
AccountId = Annotated[StrictInt | StrictStr, _id_of("account", "self")]
"""Ids in one spelling: 42 and "42" are the same one."""


def _about_the_learner(template: str) -> str:
    if stray_brace(template) or not all(path.startswith("learner.") for path in placeholders(template)):
        msg = 'expected text with fields of the learner in it, such as "{learner.remote_user_id}"'
        raise ValueError(msg)
    if template and not placeholders(template):
        msg = 'expected a field of the learner, such as "{learner.email}": without one all people would be the same'
        raise ValueError(msg)
    return template


LearnerTemplate = Annotated[str, AfterValidator(_about_the_learner)]


class CanvasSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "canvas"``.

    Attributes:
        base_url: address of the school, without ``/api/v1``.
        token: an access token of a user who may manage users and enrollments.
        account_id: the account in which users are looked up and created; ``self`` is the school's root account.
        login: template of a new user's login, by which people are found, too.
        sis_user_id: template of the SIS id; then people are known by it first. Empty: the bridge touches no SIS ids.
        adopt_existing: with ``sis_user_id``: whether somebody whom Canvas knows by login or e-mail alone is the learner.
        authentication_provider: id or type of the login's provider (``saml``), where it is not Canvas itself.
        revoke: what becomes of the enrollment: ``deactivate`` takes access away and keeps it listed, ``conclude`` leaves
            the learner a read-only course, ``delete`` removes it.
        concurrency: deliveries under way at once; Canvas throttles parallel requests, so keep it at three or less.
    """

    base_url: str
    token: SecretStr
    account_id: AccountId = "self"
    login: LearnerTemplate = Field(default="{learner.email}", min_length=1)
    sis_user_id: LearnerTemplate = ""
    adopt_existing: bool = True
    authentication_provider: StrictInt | StrictStr | None = None
    revoke: Literal["deactivate", "conclude", "delete"] = "deactivate"
    concurrency: int = Field(default=2, ge=1, le=256)

    @field_validator("base_url")
    @classmethod
    def _without_the_api(cls, url: str) -> str:
        if "/api/v1" in url:
            msg = 'expected the school\'s address without /api/v1, such as "https://school.instructure.com"'
            raise ValueError(msg)
        return url


class CanvasCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the number in the course's address at Canvas, or ``sis_course_id:...``.
        section_id: the section to enroll in, or ``sis_section_id:...``; default: the course's own.
        enrollment_type: the role in which people are enrolled.
        role_id: a custom role of that type.
        limit_to_section: whether the learner sees only people of the same section.
    """

    course_id: CourseId
    section_id: SectionId | None = None
    enrollment_type: EnrollmentType = "StudentEnrollment"
    role_id: int | None = None
    limit_to_section: bool = False
