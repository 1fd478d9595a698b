"""What an operator writes for Moodle: the target, and a course's table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StrictInt

from bridge.contract.settings import CourseTable, TargetSettings


def _site(address: str) -> str:
    if "/webservice/" in address or address.rstrip("/").endswith(".php"):
        msg = "expected the address of the site, without /webservice/rest/server.php"
        raise ValueError(msg)
    return address


def _learner_path(path: str) -> str:
    if path in ("", "learner.remote_user_id") or path.startswith("learner.attributes."):
        return path
    msg = "expected learner.remote_user_id or learner.attributes.NAME"
    raise ValueError(msg)


class MoodleSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "moodle"``.

    Attributes:
        base_url: address of the site, with its sub-directory where it has one.
        token: of the technical user, for a service that has the functions.
        idnumber: field path of what the school keeps as a person's ID number, such as ``learner.remote_user_id``; people
            are then looked for by it first, and a new account gets it. It must mean the same person whatever source it
            comes from. Default: the ID number is left alone.
        adopt_existing: whether an account that is found by its address, and has no ID number, gets ours.
        auth: authentication plugin of new accounts, such as ``oauth2``; they then get no password. Default: Moodle's own.
        revoke: ``suspend`` keeps grades and history; ``unenrol`` removes the person from the course, grades and all.
        concurrency: a call keeps a web server's process busy, and a school's server has few of them.
    """

    base_url: Annotated[str, AfterValidator(_site)]
    token: SecretStr = Field(min_length=1)
    idnumber: Annotated[str, AfterValidator(_learner_path)] = ""
    adopt_existing: bool = False
    auth: str = Field(default="", pattern=r"^[a-z][a-z0-9_]*$|^$")
    revoke: Literal["suspend", "unenrol"] = "suspend"
    concurrency: int = Field(default=2, ge=1, le=256)


class MoodleCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        course_id: the number in the address of the course's page, ``/course/view.php?id=7``.
        role_id: the role that the learner gets; 5 is the student of a site whose roles were left as they came.
    """

    course_id: Annotated[StrictInt, Field(ge=2)]  # 1 is the front page, in which nobody is enrolled
    role_id: Annotated[StrictInt, Field(ge=1)] = 5
