"""10XPRO as a source: the suite, then what only this protocol says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import AcceptedLine, InboundEvent, Reception, Response
from tests.suites.inbound import PAYLOADS, RECEIVED, SYNCHRONOUS, InboundSuite, refused, request

SECRET = "67e2c0"
GOOD = {"type": "purchase", "course_id": "3", "email": "ada@example.org"}
ADA = Learner(email="ada@example.org", first_name="Ada", last_name="Lovelace")


def get(given: Mapping[str, str]) -> InboundEvent:
    return request(method="GET", path="/customapi.php", query=given)


def post(given: Mapping[str, str], query: Mapping[str, str] | None = None) -> InboundEvent:
    return request(urlencode(given).encode(), path="/customapi.php", query=query)


def multipart(given: Mapping[str, str], query: Mapping[str, str] | None = None) -> InboundEvent:
    parts = [
        f'--xYz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in given.items()
    ]
    return request("".join([*parts, "--xYz--\r\n"]).encode(), path="/customapi.php", query=query)


def bought(product: str, learner: Learner, *, full_access: bool = False, send_email: bool = True) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=RECEIVED,
        learner=learner,
        items=(Item(remote_product_id=product),),
        options=Options(send_email=send_email, full_access=full_access),
    )


class TestTenxpro(InboundSuite):
    """The custom API as a server."""

    type = "tenxpro"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET}
    statuses = SYNCHRONOUS
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "course.get.txt": [bought("3", ADA, full_access=True)],
        "forum.post.txt": [bought("forum:5", ADA, full_access=True, send_email=False)],
        "bundle.post.txt": [bought("bundle:9", Learner(email="ada@example.org"))],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        if name.endswith(".get.txt"):
            return get(dict(parse_qsl(payload.decode())))
        query = {"secret": SECRET} if name == "forum.post.txt" else None
        return request(payload, path="/customapi.php", query=query)

    def places(self) -> list[InboundEvent]:
        shown = {**GOOD, "secret": SECRET}
        return [
            get(shown),
            post(shown),
            post(GOOD, {"secret": SECRET}),
            post({"secret": SECRET}, GOOD),
            post(shown, {"secret": "an older one"}),
            multipart(GOOD, {"secret": SECRET}),
            request(orjson.dumps(shown)),
            request(orjson.dumps(GOOD), query={"secret": SECRET}),
        ]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        bare = {name: text for name, text in event.query.items() if name != "secret"}
        wrong = {repr(text): get({**GOOD, "secret": text}) for text in ("", "67e2c", "67E2C0", " 67e2c0", "\ud800")}
        return {
            **wrong,
            "absent": replace(event, query=bare, body=event.body.replace(SECRET.encode(), b"")),
            "in a header": replace(get(GOOD), headers={"secret": SECRET}),
            "a good one that the body overrules": post({**GOOD, "secret": "wrong"}, {"secret": SECRET}),
            "no text": request(orjson.dumps({**GOOD, "secret": [SECRET]})),
        }

    def check_shape(self, reception: Reception, response: Response) -> None:
        said = response.body
        assert response.headers["Cache-Control"] == "no-store"
        assert said["success"] is (response.status == 200)
        if response.status == 200:
            assert set(said) <= {"success", "registration_id", "registration_ids", "product_url"}
        else:
            assert set(said) == {"success", "error", "errors"}
            assert said["error"] == " ".join(said["errors"].values())

    def the(self, event: InboundEvent) -> EnrollmentCommand:
        (command,) = self.adapter().normalise(event)
        return command

    def faults(self, event: InboundEvent) -> dict[str, str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(event)
        return invalid.value.faults

    def test_takes_both_secrets_while_they_rotate(self) -> None:
        """The payment system changes over when its owner finds the time."""
        adapter = self.adapter(secret=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            assert refused(adapter, get({**GOOD, "secret": secret})) is wanted

    def test_the_same_purchase_by_any_road_is_the_same_command(self) -> None:
        """Query, form, both, multipart, JSON."""
        commands = [self.the(event) for event in self.places()]
        assert all(command == commands[0] for command in commands)
        assert commands[0].event_key is None

    def test_the_body_counts_more_than_the_query(self) -> None:
        """The address is copied once, the body is made for each purchase."""
        assert self.the(post({"course_id": "4"}, GOOD)).items[0].remote_product_id == "4"

    def test_a_multipart_form_must_not_hold_the_secret(self) -> None:
        """It could not be blanked before the call is kept."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().verify(multipart({**GOOD, "secret": SECRET}))
        assert list(invalid.value.faults) == ["secret"]

    def test_a_file_in_a_multipart_form_is_no_parameter(self) -> None:
        """Only named fields are read, in UTF-8."""
        body = multipart({**GOOD, "first_name": "Zoë"}).body
        named = body.replace(b'name="first_name"', b'filename="first_name"')
        for sent, wanted in ((body, "Zoë"), (named, "")):
            learner = self.the(request(sent)).learner
            assert learner is not None
            assert learner.first_name == wanted

    def test_a_body_that_cannot_be_read_is_unreadable(self) -> None:
        """400 rather than a list of missing parameters."""
        latin = multipart({**GOOD, "first_name": "X"}).body.replace(b"X", b"\xff")
        for body in (b"{", b"type=\xff", latin):
            with pytest.raises(PayloadInvalid) as invalid:
                self.adapter().credential(request(body))
            assert not invalid.value.readable

    def test_a_credit_takes_the_named_products_away(self) -> None:
        """By the person and the product: the call names no order."""
        command = self.the(get({**GOOD, "type": "credit", "bundle_id": "9"}))
        assert command.action is Action.CANCEL
        assert command.learner is not None
        assert command.learner.email == "ada@example.org"
        assert [item.remote_product_id for item in command.items] == ["3", "bundle:9"]

    @pytest.mark.parametrize("given", ["purchase", "Purchase", " PURCHASE "])
    def test_the_type_is_purchase(self, given: str) -> None:
        """In any case of its letters."""
        assert self.the(get({**GOOD, "type": given})) == self.the(get(GOOD))

    @pytest.mark.parametrize("given", ["", "refund"])
    def test_another_type_is_a_fault(self, given: str) -> None:
        """Nothing is enrolled by a call that says something else."""
        assert list(self.faults(get({**GOOD, "type": given}))) == ["type"]

    def test_all_faults_are_told_at_once(self) -> None:
        """The person who sets up the payment system corrects them in one go."""
        assert self.faults(get({"first_name": "x" * 501})) == {
            "type": 'The type parameter is required, and it must be the word "purchase" or "credit".',
            "course_id": "One of course_id, forum_category_id and bundle_id is required.",
            "email": "The email parameter is required.",
            "first_name": "The first_name parameter must be text of at most 500 characters.",
        }
        assert self.faults(get({**GOOD, "email": "ada", "course_id": "x" * 501})) == {
            "email": "The email parameter must be an e-mail address.",
            "course_id": "The course_id parameter must be text of at most 500 characters.",
        }

    def test_several_products_are_several_items(self) -> None:
        """A blank one is none."""
        given = {**GOOD, "forum_category_id": "5", "bundle_id": " "}
        assert [item.remote_product_id for item in self.the(get(given)).items] == ["3", "forum:5"]

    @pytest.mark.parametrize(
        "text", ["ADDEMAILMERGE", "{{email}}", "%EMAIL%", "{contact.email}", "*|EMAIL|*", "~Contact.Email~", "$email"]
    )
    @pytest.mark.parametrize("name", ["email", "course_id"])
    def test_a_merge_field_that_was_not_replaced_is_told_as_such(self, name: str, text: str) -> None:
        """It is the likeliest mistake, and "must be an e-mail address" would not say so."""
        told = self.faults(get({**GOOD, name: text}))
        assert list(told) == [name]
        assert "was not replaced" in told[name]

    def test_the_vendors_own_example_still_holds_its_merge_fields(self) -> None:
        """Copied as it stands, it enrolls nobody."""
        text = (PAYLOADS / self.type / "merge_fields.get.txt").read_text()
        assert list(self.faults(get(dict(parse_qsl(text))))) == ["email"]

    def test_a_name_that_was_not_merged_in_turns_nobody_away(self) -> None:
        """The person has paid; the name is left empty."""
        learner = self.the(get({**GOOD, "first_name": "ADDFIRSTNAMEMERGE", "last_name": "{{last}}"})).learner
        assert learner == Learner(email="ada@example.org")

    @pytest.mark.parametrize("name", ["full_access", "forum_full_access"])
    def test_full_access_is_given_to_those_who_say_yes(self, name: str) -> None:
        """Anything else is drip-fed."""
        for text, wanted in {"yes": True, "YES": True, "1": True, "true": True, "no": False, "": False}.items():
            assert self.the(get({**GOOD, name: text})).options.full_access is wanted

    def test_mail_is_sent_unless_it_is_declined(self) -> None:
        """The vendor's default is to send."""
        for text, wanted in {"no": False, "NO": False, "0": False, "": True, "yes": True, "nope": True}.items():
            assert self.the(get({**GOOD, "send_mail": text})).options.send_email is wanted
        assert self.the(get(GOOD)).options.send_email is True

    def test_json_may_hold_numbers_and_booleans(self) -> None:
        """Whoever sends JSON sends types."""
        given = {**GOOD, "course_id": 3, "full_access": True, "send_mail": False, "first_name": None}
        command = self.the(request(orjson.dumps(given)))
        assert command.items[0].remote_product_id == "3"
        assert command.options == Options(send_email=False, full_access=True)

    @pytest.mark.parametrize("value", [[1], {"a": 1}, 1.5, "a\0"])
    def test_anything_else_is_no_parameter(self, value: Any) -> None:
        """But only a parameter that is of use can be wrong."""
        assert "last_name" in self.faults(request(orjson.dumps({**GOOD, "last_name": value})))
        assert self.the(request(orjson.dumps({**GOOD, "amount": value}))) == self.the(get(GOOD))

    def test_answers_with_the_id_and_the_address(self) -> None:
        """All ids when one call bought several products."""
        lines = (
            AcceptedLine(7, "3", "https://x.example/3", False, "pending"),
            AcceptedLine(8, "4", None, True, "active"),
        )
        one = {"success": True, "registration_id": 7, "product_url": "https://x.example/3"}
        adapter = self.adapter()
        assert adapter.respond(get(GOOD), Reception("accepted", lines[:1])).body == one
        assert adapter.respond(get(GOOD), Reception("accepted", lines)).body == {**one, "registration_ids": [7, 8]}
