"""What Moodle's error codes mean for an operator. Its messages are translated, and its exceptions' names change: not read."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.outbound import Explanation
from bridge.kit.answers import ERRORS

EXPLAINED: Mapping[str, Explanation] = {
    **ERRORS,
    "bad-token": Explanation(
        "Moodle does not know the token.",
        "Make a token under Site administration, Server, Web services, Manage tokens, set it as the target's token, then "
        "resume the lane with `bridge resume`.",
    ),
    "no-access": Explanation(
        "Moodle denies the call: the token has expired, our address is not allowed, or the service lacks the function.",
        "Run `bridge doctor`, which names missing functions; add them to the token's service in Moodle, or correct the "
        "token's end and addresses, then resume the lane with `bridge resume`.",
    ),
    "technical-user": Explanation(
        "The technical user that the token belongs to can not use Moodle: the account is suspended, expired or not set up.",
        "Log in to Moodle as the technical user and put its account in order, then resume the lane with `bridge resume`.",
    ),
    "no-capability": Explanation(
        "The technical user's role lacks a right that managing accounts needs.",
        "Allow moodle/user:create, moodle/user:update, moodle/user:viewdetails and moodle/user:viewhiddendetails for the "
        "technical user's role in the whole site, then resume the lane with `bridge resume`.",
    ),
    "no-course-capability": Explanation(
        "The technical user may not enrol people in this course.",
        "Allow moodle/course:view, enrol/manual:enrol, enrol/manual:unenrol and moodle/role:assign for the technical user "
        "in the course or its category, then requeue the delivery with `bridge requeue`.",
    ),
    "rest-off": Explanation(
        "The site does not offer the REST protocol of its web services.",
        "Enable web services and the REST protocol under Site administration, Server, Web services, then resume the lane "
        "with `bridge resume`.",
    ),
    "wrong-address": Explanation(
        "There is no Moodle at this address.",
        "Set base_url to the address of the site, with its sub-directory where it has one, then resume the lane with "
        "`bridge resume`.",
    ),
    "no-manual-plugin": Explanation(
        "The site has no manual enrolments.",
        "Enable Manual enrolments under Site administration, Plugins, Enrolments, then resume the lane with `bridge resume`.",
    ),
    "no-manual-enrolment": Explanation(
        "The course has no manual enrolment method, or it is disabled.",
        "Add or enable Manual enrolments under the course's Participants, Enrolment methods, then requeue the delivery with "
        "`bridge requeue`.",
    ),
    "enrolment-refused": Explanation(
        "The course's manual enrolment method takes nobody in or out.",
        "Look at Manual enrolments under the course's Participants, Enrolment methods, then requeue the delivery with "
        "`bridge requeue`.",
    ),
    "role": Explanation(
        "The technical user may not give this role in this course, or the role does not exist.",
        "Correct role_id in the course's table, or allow the assignment under Define roles, Allow role assignments, then "
        "requeue the delivery with `bridge requeue`.",
    ),
    "no-such-course": Explanation(
        "Moodle has no course with the id that the mapping names.",
        "Correct course_id in the course's table, then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "course-closed": Explanation(
        "The course is hidden from the technical user, who has to be able to enter it.",
        "Allow moodle/course:view and moodle/course:viewhiddencourses for the technical user, or show the course, then "
        "requeue the delivery with `bridge requeue`.",
    ),
    "no-such-user": Explanation(
        "The person's account vanished from Moodle while it was worked on, or is the guest account.",
        "Look at the account in Moodle, then requeue the delivery with `bridge requeue`: the person is looked for anew.",
    ),
    "not-confirmed": Explanation(
        "The person's account at Moodle is not confirmed, and Moodle enrols no unconfirmed accounts.",
        "Confirm the account under Site administration, Users, then requeue the delivery with `bridge requeue`.",
    ),
    "bad-address": Explanation(
        "Moodle takes the learner's e-mail address for none.",
        "Correct the address at the source, which then sends an update; the delivery goes out by itself.",
    ),
    "not-created": Explanation(
        "Moodle refuses to make the account and does not say why, and no account of the person can be found.",
        "Look whether the e-mail domain is allowed, the authentication plugin is enabled and the technical user may see "
        "accounts; or make the account by hand. Then requeue the delivery with `bridge requeue`.",
    ),
    "several-accounts": Explanation(
        "More than one account at Moodle could be the person's, and none more so than the others.",
        "Merge the accounts, or give the right one the person's ID number or address, then requeue the delivery with "
        "`bridge requeue`.",
    ),
    "other-idnumber": Explanation(
        "The account with the person's address has the ID number of somebody else.",
        "Correct the ID number or the address in Moodle or at the source, then requeue the delivery with `bridge requeue`.",
    ),
    "address-taken": Explanation(
        "The person's new address belongs to another account at Moodle already.",
        "Merge the two accounts in Moodle, then requeue the delivery with `bridge requeue`.",
    ),
    "not-updated": Explanation(
        "Moodle does not let the technical user change this account.",
        "Change the account by hand, or leave it: access is not affected. Then requeue the delivery with `bridge requeue`, "
        "or drop it.",
    ),
}

LANE: Mapping[str, str] = {
    "invalidtoken": "bad-token",
    "accessexception": "no-access",
    "wsaccessuserdeleted": "technical-user",
    "wsaccessuserunconfirmed": "technical-user",
    "wsaccessusersuspended": "technical-user",
    "wsaccessusernologin": "technical-user",
    "wsaccessuserexpired": "technical-user",
    "forcepasswordchangenotice": "technical-user",
    "usernotfullysetup": "technical-user",
    "sitepolicynotagreed": "technical-user",
    "manualpluginnotinstalled": "no-manual-plugin",
}
"""Error codes that concern every delivery."""

PEOPLE: Mapping[str, str] = {"nopermissions": "no-capability"}
"""Error codes of the functions that see to accounts, which need their rights in the whole site."""

ACCESS: Mapping[str, str] = {
    "nopermissions": "no-course-capability",
    "wsusercannotassign": "role",
    "wsnoinstance": "no-manual-enrolment",
    "wscannotenrol": "enrolment-refused",
    "wscannotunenrol": "enrolment-refused",
    "invalidcourseid": "no-such-course",
    "invalidrecord": "no-such-course",
    "invalidrecordunknown": "no-such-course",
    "invalidcontext": "no-such-course",
    "invalidparameter": "no-such-course",  # whatever else we send there is a number of Moodle's own
    "requireloginerror": "course-closed",
    "coursehidden": "course-closed",
    "invaliduser": "no-such-user",
    "userdeleted": "no-such-user",
    "guestsarenotallowed": "no-such-user",
    "usernotconfirmed": "not-confirmed",
}
"""Error codes of the enrolment functions, each of them one course's or one person's."""

MAINTENANCE = frozenset({"sitemaintenance", "upgraderunning"})
DATABASE = frozenset(
    {"dmlreadexception", "dmlwriteexception", "dbconnectionfailed", "sessionwaiterr", "dmltransactionexception"}
)
"""Trouble of the site's own; the call was rolled back, but whoever looks first need not rely on it."""

WARNINGS: Mapping[str, str] = {
    "useremailduplicate": "address-taken",
    "useremailinvalid": "bad-address",
    "usernotupdatedadmin": "not-updated",
    "usernotupdateddeleted": "no-such-user",
    "invaliduserid": "no-such-user",
}
"""Warning codes of the function that updates accounts; any other one is ``not-updated``."""
