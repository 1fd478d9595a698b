"""What TalentLMS's answers mean for an operator."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.outbound import Explanation
from bridge.kit.answers import ERRORS

EXPLAINED: Mapping[str, Explanation] = {
    **ERRORS,
    "bad-key": Explanation(
        "TalentLMS does not accept the API key.",
        "Copy the key from Account & Settings, Integrations, API into the target's api_key, then resume the lane with "
        "`bridge resume`.",
    ),
    "api-off": Explanation(
        "The portal's API is not enabled, or the portal is inactive.",
        "Enable the API under Account & Settings, Integrations, API (the free plan has none), then resume the lane with "
        "`bridge resume`.",
    ),
    "wrong-address": Explanation(
        "There is no TalentLMS API at this address.",
        "Set base_url to the portal's own address, https://DOMAIN.talentlms.com, then resume the lane with "
        "`bridge resume`.",
    ),
    "no-such-course": Explanation(
        "TalentLMS has no course with the id that the mapping names.",
        "Correct course_id in the course's table, then run `bridge reload` and `bridge replay` with the purchase's event.",
    ),
    "not-enrolled": Explanation(
        "TalentLMS does not enroll the person in the course.",
        "Look whether the course is active and has a seat left, and whether the account is active; then requeue the "
        "delivery with `bridge requeue`.",
    ),
    "not-removed": Explanation(
        "TalentLMS does not remove the person from the course.",
        "Remove the person in TalentLMS by hand, then requeue the delivery with `bridge requeue`.",
    ),
    "not-created": Explanation(
        "TalentLMS does not make the account, and no account of the person can be found.",
        "Look whether the plan has a user left and the address is allowed, or make the account by hand; then requeue "
        "the delivery with `bridge requeue`.",
    ),
    "not-updated": Explanation(
        "TalentLMS does not take over the person's name or address; another account may have the address.",
        "Merge or correct the accounts in TalentLMS, then requeue the delivery with `bridge requeue`; access is not "
        "affected.",
    ),
}
