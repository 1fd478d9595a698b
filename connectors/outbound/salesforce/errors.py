"""What Salesforce is known to refuse, in an operator's words."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.outbound import Explanation
from bridge.kit.answers import ERRORS as USUAL

_REQUEUE = "then requeue the delivery."
_RESUME = "then resume the lane."

LOGIN: Mapping[str, Explanation] = {
    "wrong-audience": Explanation(
        "Salesforce says that the signed login was meant for another place: production and sandboxes differ.",
        f"Set audience to https://login.salesforce.com, or of a sandbox to https://test.salesforce.com, {_RESUME}",
    ),
    "assertion-refused": Explanation(
        "Salesforce does not accept the signature of the login, or who signed it for whom.",
        f"Check that the certificate in the external client app belongs to private_key, and client_id and username, {_RESUME}",
    ),
    "assertion-expired": Explanation(
        "Salesforce says that the signed login is out of date, though it was signed a second time by Salesforce's clock.",
        f"Set the clock of the bridge's machine by a time server, {_RESUME}",
    ),
    "user-not-approved": Explanation(
        "The user as whom the bridge works is not allowed to use the external client app.",
        f"In the app's policies choose that users are pre-authorised, and add a permission set of that user, {_RESUME}",
    ),
    "no-run-as-user": Explanation(
        "The external client app has no user as whom client credentials work.",
        f"In the app's policies enable the client credentials flow and name the user to run as, {_RESUME}",
    ),
    "wrong-secret": Explanation(
        "Salesforce does not accept the consumer secret of the external client app.",
        f"Copy the consumer secret of the app into client_secret, {_RESUME}",
    ),
    "wrong-client": Explanation(
        "Salesforce does not know the consumer key; that of a new app becomes known some minutes after it was made.",
        f"Copy the consumer key of the app into client_id, wait ten minutes if the app is new, {_RESUME}",
    ),
    "user-locked": Explanation(
        "The user as whom the bridge works is locked out of Salesforce.",
        f"Unlock the user in Salesforce's setup, {_RESUME}",
    ),
    "access-expired": Explanation(
        "Salesforce says that the access which the app was given has ended.",
        f"Allow the app for the user again in Salesforce's setup, {_RESUME}",
    ),
    "user-inactive": Explanation(
        "The user as whom the bridge works is not active in Salesforce.",
        f"Activate the user, or give the app another one, {_RESUME}",
    ),
    "org-inactive": Explanation(
        "The Salesforce organisation is locked, closed or suspended.",
        f"Have the organisation opened again, or correct base_url, {_RESUME}",
    ),
    "flow-not-enabled": Explanation(
        "This way to log in is not enabled at the address in base_url or in the external client app.",
        f"Enable the client credentials or the JWT bearer flow in the app, check that base_url is My Domain, {_RESUME}",
    ),
    "login-refused": Explanation(
        "Salesforce does not let the bridge log in.",
        f"Check base_url, client_id and the credential, and the app's policies in Salesforce, {_RESUME}",
    ),
    "unsafe-instance": Explanation(
        "Salesforce's answer to the login names an instance_url that is not safe to send the session to.",
        f"Set base_url to the org's own My Domain address, {_RESUME}",
    ),
}
"""Faults of the token endpoint; all of them concern the whole lane."""

ERRORS: Mapping[str, Explanation] = {
    **USUAL,
    **LOGIN,
    "session-refused": Explanation(
        "Salesforce refuses the session, and a new one too.",
        f"Check base_url, and that the app and its user may use the API, {_RESUME}",
    ),
    "api-disabled": Explanation(
        "The organisation, or the user as whom the bridge works, may not use the API.",
        f"Give the user the permission API Enabled, in an edition of Salesforce that has the API, {_RESUME}",
    ),
    "no-access": Explanation(
        "The user as whom the bridge works may not write this record or one of its fields.",
        f"Give the user access to the object, the fields and the record, {_REQUEUE}",
    ),
    "no-such-address": Explanation(
        "Salesforce does not know the object, or its field is not an external id.",
        f"Make the field that external_id names an External ID that is unique, check object and api_version, {_RESUME}",
    ),
    "no-lookup": Explanation(
        "Contacts can't be looked for by e-mail in this organisation.",
        f"See with bridge doctor that the user may read Email and external_id of Contact, or set adopt = false, {_RESUME}",
    ),
    "same-external-id": Explanation(
        "Several records have the same external id, and Salesforce writes none of them.",
        f"Merge them in Salesforce and make the field that external_id names unique, {_REQUEUE}",
    ),
    "several-matches": Explanation(
        "Several contacts have the learner's e-mail address, and which of them is the learner's can't be told.",
        f"Merge them in Salesforce, or write the learner's external id on the right one, {_REQUEUE}",
    ),
    "no-sure-match": Explanation(
        "A duplicate rule stopped the contact, and found no single contact with certainty.",
        f"Merge the contacts in Salesforce, or write the learner's external id on the right one, {_REQUEUE}",
    ),
    "anothers-contact": Explanation(
        "A duplicate rule matched a contact that is another learner's already.",
        f"Merge the two learners, or make a contact with an external id of its own for this one, {_REQUEUE}",
    ),
    "duplicate-rule": Explanation(
        "A duplicate rule of the organisation stopped the record.",
        f"Merge the records in Salesforce, or write our external id on the right one, or set duplicates, {_REQUEUE}",
    ),
    "value-taken": Explanation(
        "Another record has a value already that may be there only once.",
        f"Find the record that has the value, and merge the two or correct the mapping, {_REQUEUE}",
    ),
    "parent-missing": Explanation(
        "The registration's contact can't be found by its external id, though it was just written.",
        f"Check that registration.contact names a lookup to Contact and that nothing deletes the contact, {_REQUEUE}",
    ),
    "no-such-field": Explanation(
        "The mapping names a field that the object doesn't have or that the bridge's user may not see.",
        f"Correct the field's name in the mapping, or give the user access to it; bridge doctor names it; {_REQUEUE}",
    ),
    "field-missing": Explanation(
        "The organisation requires a field that nothing fills.",
        f"Map the field in the target's tables, {_REQUEUE}",
    ),
    "too-long": Explanation(
        "A value is longer than its field in Salesforce.",
        f"Make the field longer or map something shorter, {_REQUEUE}",
    ),
    "bad-email": Explanation(
        "Salesforce does not take the learner's e-mail address for one.",
        "Have the source send an update with a valid address; the delivery then goes out by itself.",
    ),
    "not-in-picklist": Explanation(
        "A value is not one of those that a restricted picklist has.",
        f"Add the value to the picklist in Salesforce or map another one, {_REQUEUE}",
    ),
    "wrong-type": Explanation(
        "A value does not have the form that its field in Salesforce wants: a date, a number, yes or no.",
        f"Map it to a field of another type, or correct the template, {_REQUEUE}",
    ),
    "org-rule": Explanation(
        "A validation rule, a trigger or a flow of the organisation stopped the record.",
        f"Ask the organisation's administrator what the rule wants, {_REQUEUE}",
    ),
    "unexplained": Explanation(
        "Salesforce failed at this record three times without a reason; code of the organisation often is to blame.",
        f"Give the organisation's administrator the error id, {_REQUEUE}",
    ),
}
"""Every fault that this connector tells."""

BY_CODE: Mapping[str, str] = {
    "REQUIRED_FIELD_MISSING": "field-missing",
    "INVALID_FIELD": "no-such-field",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "no-access",
    "STRING_TOO_LONG": "too-long",
    "INVALID_EMAIL_ADDRESS": "bad-email",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "not-in-picklist",
    "INVALID_TYPE_ON_FIELD_IN_RECORD": "wrong-type",
    "JSON_PARSER_ERROR": "wrong-type",
    "NUMBER_OUTSIDE_VALID_RANGE": "wrong-type",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "org-rule",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "org-rule",
    "CANNOT_EXECUTE_FLOW_TRIGGER": "org-rule",
    "DUPLICATES_DETECTED": "duplicate-rule",
}
"""Error code of one record = fault; what isn't here is ``refused``."""
