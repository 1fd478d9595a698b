"""What Academy of Mine is known to refuse, in an operator's words."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.contract.outbound import Explanation
from bridge.kit.answers import ERRORS

KNOWN: Mapping[str, Explanation] = {
    **ERRORS,
    "wrong-route": Explanation(
        "Academy of Mine has nothing at the address of this route.",
        "Compare the route that is named with the API reference that Academy of Mine gave you, set it under"
        ' [targets.NAME.routes] in the form "METHOD /path", then resume the lane with `bridge resume`.',
    ),
    "not-found": Explanation(
        "Academy of Mine does not know this id, or the address of the route is not the one that is set.",
        "Correct the id in the course's table; if the address is wrong, set the route that is named under"
        " [targets.NAME.routes]. Then requeue the delivery with `bridge requeue`; `bridge doctor` tells which it is.",
    ),
    "user-refused": Explanation(
        "Academy of Mine does not take the learner's name, address or new password.",
        "Correct the learner at the source, or the rules for passwords and addresses at Academy of Mine, then requeue"
        " the delivery with `bridge requeue`.",
    ),
    "email-taken": Explanation(
        "Another account at Academy of Mine has the learner's new e-mail address already.",
        "Look there which of the two accounts is the person's, merge them, then requeue the delivery with"
        " `bridge requeue`.",
    ),
    "blocked-domain": Explanation(
        "Academy of Mine blocks the learner's e-mail address or its domain.",
        "Allow the address or the domain at Academy of Mine, or have the source send another address, then requeue the"
        " delivery with `bridge requeue`.",
    ),
    "no-seat": Explanation(
        "The portal of portal_id has no seat left for this learner.",
        "Add seats to the portal at Academy of Mine, or free one, then requeue the delivery with `bridge requeue`.",
    ),
    "account-disabled": Explanation(
        "The learner's account at Academy of Mine is disabled, and nobody is enrolled who is.",
        "Decide whether the account may be used again; if so enable it at Academy of Mine, then requeue the delivery"
        " with `bridge requeue`.",
    ),
    "not-enrolled": Explanation(
        "Academy of Mine did not enroll the learner, and does not say why.",
        "Look there whether the course is published and belongs to the portal of portal_id, and whether the learner may"
        " be enrolled by hand, then requeue the delivery with `bridge requeue`.",
    ),
    "expired": Explanation(
        "The learner's enrollment at Academy of Mine has expired, and the purchase names no new end.",
        "Set access.duration of the course, or a new date at Academy of Mine, then requeue the delivery with"
        " `bridge requeue`.",
    ),
    "path-taken-away": Explanation(
        "Somebody took the learning path from the learner at Academy of Mine, and its API can not give it back.",
        "Give access there if the learner shall have it, then requeue the delivery with `bridge requeue`.",
    ),
}
"""By short name; every outcome that asks for a person is one of these."""
