"""What an operator writes for Academy of Mine: the target, its routes and its header, and a course's table."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, SecretStr, StrictInt, StrictStr, ValidationInfo, field_validator, model_validator

from bridge.contract.settings import CourseTable, SettingsModel, TargetSettings

PLACEHOLDER = re.compile(r"\{(?:\w+_)?id\}")
_ROUTE = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) +/[^\s{}]*(?:\{(?:\w+_)?id\}[^\s{}]*)?")


class AcademyOfMineRoutes(SettingsModel):
    """``[targets.NAME.routes]``: operation = ``"METHOD /path/{id}"``. The defaults are assumed.

    The names are ours, one for each operation of the vendor's reference; ``{course_id}`` and the like mean ``{id}``.
    """

    search_users: str = "GET /api/v1/users/lookup"
    create_user: str = "POST /api/v1/users"
    read_user: str = "GET /api/v1/users/{id}"
    update_user: str = "PUT /api/v1/users/{id}"
    resend_email: str = "POST /api/v1/users/resend-new-account-email"
    enrolled_courses: str = "GET /api/v1/users/enrolled-courses"
    enroll: str = "POST /api/v1/courses/{id}/enroll"
    remove: str = "POST /api/v1/courses/{id}/remove-learners"
    revoke_access: str = "POST /api/v1/courses/{id}/revoke-access"
    grant_access: str = "POST /api/v1/courses/{id}/grant-access"
    set_expiry: str = "POST /api/v1/courses/{id}/set-expiry"
    learning_path_students: str = "GET /api/v1/learning-paths/enrolled-students"
    learning_path_enroll: str = "POST /api/v1/learning-paths/{id}/enroll"
    learning_path_remove: str = "POST /api/v1/learning-paths/{id}/remove-learners"
    update_membership: str = "POST /api/v1/users/{id}/membership"

    @field_validator("*")
    @classmethod
    def _readable(cls, text: str, info: ValidationInfo) -> str:
        usual = cls.model_fields[str(info.field_name)].default
        if _ROUTE.fullmatch(text) and bool(PLACEHOLDER.search(text)) == bool(PLACEHOLDER.search(usual)):
            return text
        msg = f'expected a method, a space and a path, such as "{usual}"'
        raise ValueError(msg)


class AcademyOfMineAuth(SettingsModel):
    """``[targets.NAME.auth]``: the header that carries the key, ``value`` being a template around ``{api_key}``."""

    header: str = "Authorization"
    value: str = "Bearer {api_key}"

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if "{api_key}" not in self.value or not re.fullmatch(r"[A-Za-z0-9-]+", self.header):
            msg = 'expected a header name, and a value with {api_key} in it, such as "Bearer {api_key}"'
            raise ValueError(msg)
        return self


class AcademyOfMineSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "academy_of_mine"``.

    Attributes:
        api_key: the key that the vendor gave you.
        auth: which header carries it; default: ``Authorization: Bearer KEY``.
        routes: addresses of the API, where yours differ from the assumed ones.
        portal_id: the portal to enroll into; default: none.
        revoke: ``revoke`` takes access to a course away and keeps the progress; ``remove`` removes the learner.
    """

    base_url: str
    api_key: SecretStr
    auth: AcademyOfMineAuth = AcademyOfMineAuth()
    routes: AcademyOfMineRoutes = AcademyOfMineRoutes()
    portal_id: int | None = None
    revoke: Literal["revoke", "remove"] = "revoke"


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
