"""A real daemon, a real page: bought by a sender, claimed in a browser's way, in at the target, and shown to the operator."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.cli_rig import Served, ask, asked, look
from tests.acceptance.rig import Client, configuration, emulators, free_port, live, running, until
from tests.acceptance.test_every_await import Dying

KEY = "generic-key-for-tests"
SHOP = f"""
[sources.shop]
adapter = "generic"
namespace = "members"
verify = {{ scheme = "token", header = "X-Key", secret = "{KEY}" }}

[sources.shop.fields]
action = {{ default = "enroll" }}
event_key = "id"
business_key = "order"
learner.email = "email"
learner.name = "name"
items.remote_product_id = "product"
items.quantity = "n"
order.number = "order"

[[products]]
source = "shop"
remote_product_id = "INTRO"
courses = ["intro-ce"]
"""
PUBLIC = "https://bridge.example.org/"
FORM = {"email": "eve@example.org", "first_name": "Eve", "last_name": "Ning"}


def shop(folder: Path, targets, port: int = 0, public: str = PUBLIC) -> Path:
    path = configuration(folder, targets, port=port, extra=SHOP)
    path.write_text(path.read_text().replace("[server]\n", f'[server]\npublic_url = "{public}"\n', 1))
    return path


class Buyer:
    """A shop, and people with links."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession, ledger: Path) -> None:
        self.base_url, self.session, self.ledger = base_url, session, ledger

    async def buys(self, n: int = 3, order: str = "o1", email: str = "ann@example.org") -> None:
        body = {"id": f"{order}-{n}", "order": order, "email": email, "name": "Ann Ng", "product": "INTRO", "n": n}
        headers = {"X-Key": KEY}
        async with self.session.post(f"{self.base_url}/in/shop", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    def codes(self) -> list[str]:
        return [code for (code,) in look(self.ledger, "SELECT code FROM seat WHERE state = 'open' ORDER BY id")]

    async def opens(self, code: str, method: str = "GET", **how) -> tuple[int, str, dict[str, str]]:
        async with self.session.request(method, f"{self.base_url}/claim/{code}", **how) as answer:
            return answer.status, await answer.text(), dict(answer.headers)

    async def claims(self, code: str, **changed: str) -> tuple[int, str]:
        status, text, _ = await self.opens(code, "POST", data={**FORM, **changed})
        return status, text


@asynccontextmanager
async def served(folder: Path, targets):
    """The real command in a process of its own."""
    port = free_port()
    daemon = Served(shop(folder, targets, port), port)
    await daemon.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield daemon, Buyer(daemon.base_url, session, folder / "bridge.db")
    finally:
        if daemon.process is not None and daemon.process.returncode is None:
            await daemon.stop()


async def test_bought_claimed_and_in(tmp_path) -> None:
    """Two of three seats are links; a claim lets in; the operator sees, takes back and renews through the daemon."""
    async with emulators("elevate", "hubspot") as targets, served(tmp_path, targets) as (daemon, buyer):
        await buyer.buys()
        first, second = buyer.codes()
        status, page, headers = await buyer.opens(first)
        assert status == 200
        assert "Introduction to Continuing Education" in page
        assert all(f'<label for="{name}">' in page for name in FORM)
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Robots-Tag"] == "noindex"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "<script" not in page
        status, page = await buyer.claims(first)
        assert (status, "https://school.example.org/courses/intro-ce" in page) == (200, True)
        for target in targets.values():
            await until(
                lambda target=target: {person for person, _ in live(target)} >= {"ann@example.org", FORM["email"]}
            )
        assert [(await buyer.claims(first))[0], (await buyer.claims(first, email="joe@example.org"))[0]] == [200, 409]
        assert (await buyer.claims(second))[0] == 409
        listed = (await asked("seats", 1, "--json", "--config", daemon.config)).json
        assert [(row["number"], row["state"], row["claimed_registration_id"]) for row in listed] == [
            (1, "claimed", 2),
            (2, "open", None),
        ]
        assert listed[1]["link"] == f"https://bridge.example.org/claim/{second}"
        dry = await asked("seats", "revoke", 1, "--number", 1, "--renew", "--dry-run", "--config", daemon.config)
        assert (dry.code, "nothing was changed" in dry.out) == (0, True)
        done = await asked("seats", "revoke", 1, "--number", 1, "--renew", "--json", "--config", daemon.config)
        assert done.code == 0, done.err
        await until(lambda: {person for person, _ in live(targets["elevate"])} == {"ann@example.org"})
        assert (await buyer.opens(first))[0] == 410
        renewed = done.json[0]["link"].rpartition("/")[2]
        assert (await buyer.claims(renewed, email="joe@example.org"))[0] == 200
        told = await daemon.stop()
        assert not any(code in told.err for code in (first, second, renewed)), "no log holds a code"


async def test_looking_has_no_effect(tmp_path) -> None:
    """A mail client that opens the link, by GET or HEAD, claims nothing; other methods are told so."""
    async with emulators("elevate") as targets, served(tmp_path, targets) as (_, buyer):
        await buyer.buys()
        code = buyer.codes()[0]
        assert (await buyer.opens(code, "HEAD"))[:2] == (200, "")
        assert (await buyer.opens(f"{code}/?email=eve@example.org"))[0] == 200
        status, _, headers = await buyer.opens(code, "PUT", data=FORM)
        assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
        assert len(buyer.codes()) == 2


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"email": ""}, "email"),
        ({"email": "nobody"}, "email"),
        ({"first_name": "  "}, "first_name"),
        ({"last_name": "x" * 201}, "last_name"),
        ({"last_name": "a\0b"}, "last_name"),
    ],
)
async def test_a_wrong_field_is_named(tmp_path, changed: dict[str, str], wrong: str) -> None:
    """What was written stays in the form, harmless even where it is markup; nothing is claimed."""
    async with emulators("elevate") as targets, served(tmp_path, targets) as (_, buyer):
        await buyer.buys()
        status, page = await buyer.claims(buyer.codes()[0], **{"first_name": '<b>"', **changed})
        assert status == 422
        assert re.findall(r'aria-describedby="(\w+)-fault"', page) == [wrong]
        assert f'id="{wrong}-fault"' in page
        assert "<b>" not in page
        assert len(buyer.codes()) == 2


async def test_hostile_bodies_and_codes(tmp_path) -> None:
    """Too much is 413, what is no form 422, what is no code 404: never an error of ours, and never a seat."""
    async with emulators("elevate") as targets, served(tmp_path, targets) as (_, buyer):
        await buyer.buys()
        code = buyer.codes()[0]
        assert (await buyer.opens(code, "POST", data=b"x" * 20_000))[0] == 413

        async def slices():
            for _ in range(20):
                yield b"email=" + b"x" * 1_000

        assert (await buyer.opens(code, "POST", data=slices()))[0] == 413
        assert (await buyer.opens(code, "POST", data=b"\xff\xfe" * 50))[0] == 422
        assert (await buyer.opens(code, "POST", data="&".join(f"a{n}=1" for n in range(500))))[0] == 422
        assert (await buyer.opens(code, "POST", json=FORM))[0] == 422
        for strange in (
            "x",
            "x" * 32,
            "x" * 5_000,
            "%00" * 8,
            "..%2f..%2fetc",
            code[:-1] + "%ff",
            "'; DROP TABLE seat",
        ):
            assert [(await buyer.opens(strange))[0], (await buyer.claims(strange))[0]] == [404, 404]
        assert len(buyer.codes()) == 2


async def test_too_many_tries_at_one_link(tmp_path) -> None:
    """Whoever has a link can't try out address by address who claimed it; other links, and looking, are not held up."""
    async with emulators("elevate") as targets, running(tmp_path, targets, extra=SHOP) as (_, client):
        buyer = Buyer(client.base_url, client.session, tmp_path / "bridge.db")
        await buyer.buys()
        first, second = buyer.codes()
        await buyer.claims(first)
        told = [(await buyer.claims(first, email=f"guess{n}@example.org"))[0] for n in range(20)]
        assert told == [409] * 19 + [429]
        status, _, headers = await buyer.opens(first, "POST", data=FORM)
        assert (status, headers["Retry-After"]) == (429, "60")
        assert (await buyer.opens(first))[0] == 200
        assert (await buyer.claims(second, email="joe@example.org"))[0] == 200


async def test_the_ledger_is_away(tmp_path) -> None:
    """A page that says so, with Retry-After; the seat is there afterwards."""
    async with emulators("elevate") as targets, served(tmp_path, targets) as (_, buyer):
        await buyer.buys()
        code = buyer.codes()[0]
        away = tmp_path / "away.db"
        (tmp_path / "bridge.db").rename(away)
        status, page, headers = await buyer.opens(code, "POST", data=FORM)
        assert (status, headers["Retry-After"]) == (503, "30")
        assert "<h1>" in page
        away.rename(tmp_path / "bridge.db")
        assert (await buyer.claims(code))[0] == 200


async def test_of_many_at_once_each_gets_one(tmp_path) -> None:
    """Twenty people, ten links, two at each: ten are in, ten are told that the place is taken."""
    async with emulators("elevate") as targets, served(tmp_path, targets) as (_, buyer):
        await buyer.buys(11)
        codes = buyer.codes()
        found = await asyncio.gather(
            *(buyer.claims(code, email=f"{n}-{at}@example.org") for at, code in enumerate(codes) for n in range(2))
        )
        assert sorted(status for status, _ in found) == [200] * 10 + [409] * 10
        await until(lambda: len(live(targets["elevate"])) == 11)


async def test_killed_around_the_commit_of_a_claim(tmp_path) -> None:
    """Before it: nothing happened, and the same claim works. After it, unheard: the same person is told that they are in."""
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session:
        config = shop(tmp_path, targets)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.acceptance.dying", str(config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        dying = Dying(process, session)

        def buyer_at(client: Client) -> Buyer:
            return Buyer(client.base_url, session, tmp_path / "bridge.db")

        try:
            buyer = buyer_at(await dying.born())
            await buyer.buys(20)
            await until(lambda: len(live(targets["elevate"])) == 1)
            codes = iter(buyer.codes())
            assert (await buyer.claims(next(codes), email="first@example.org"))[0] == 200
            points = [point for point in await dying.ended() if "edge/claims" in point]
            assert any("ledger/store" in point for point in points), points
            for n, (point, when) in enumerate(itertools.product(["commit", *points], ("before", "after"))):
                code, email = next(codes), f"p{n}@example.org"
                buyer = buyer_at(await dying.born(point, when, 1))
                told = await _claimed_or_dead(buyer, code, email)
                killed = asyncio.create_task(dying.line())
                await asyncio.wait({killed}, timeout=1.0 if told else 10.0)
                if not killed.done():
                    dying.say("end")
                    await killed
                    assert await dying.line() == "ended"
                buyer = buyer_at(await dying.born())
                assert (await buyer.claims(code, email=email))[0] == 200
                assert (await buyer.claims(code, email="late@example.org"))[0] == 409
                await until(lambda email=email: [person for person, _ in live(targets["elevate"])].count(email) == 1)
                await dying.ended()
        finally:
            process.kill()
            await process.wait()
        assert look(tmp_path / "bridge.db", "SELECT count(*) FROM seat WHERE state = 'claimed'") == look(
            tmp_path / "bridge.db", "SELECT count(*) - 1 FROM registration"
        )


async def _claimed_or_dead(buyer: Buyer, code: str, email: str) -> bool:
    try:
        return (await buyer.claims(code, email=email))[0] == 200
    except (aiohttp.ClientError, OSError):
        return False


async def test_the_story_tells_of_both_ends(tmp_path) -> None:
    """From the order line to who claimed, and from the claim to its order line; no code is in it."""
    async with emulators("elevate") as targets:
        async with running(tmp_path, targets, extra=SHOP) as (_, client):
            buyer = Buyer(client.base_url, client.session, tmp_path / "bridge.db")
            await buyer.buys()
            first, second = buyer.codes()
            await buyer.claims(first)
        config = tmp_path / "bridge.toml"
        told = await asked("trace", "o1", "--by", "order", "--json", "--config", config)
        (bought,) = told.json["purchases"]
        assert [(seat["number"], seat["state"], seat["claimed_registration_id"]) for seat in bought["seats"]] == [
            (1, "claimed", 2),
            (2, "open", None),
        ]
        (claimed,) = (await asked("trace", 2, "--by", "registration", "--json", "--config", config)).json["purchases"]
        assert [(line["registration_id"], line["number"]) for line in claimed["claimed_from"]] == [(1, 1)]
        shown = await asked("trace", 2, "--by", "registration", "--config", config)
        assert "claimed: seat 1 of registration 1" in shown.out
        plain = await asked("trace", 1, "--by", "registration", "--config", config)
        assert "1: claimed" in plain.out
        assert not any(code in plain.out + shown.out + told.out for code in (first, second))
        listed = await asked("seats", 1, "--config", config)
        assert f"/claim/{second}" in listed.out
        assert "public_url" in listed.err
        assert (await asked("seats", 2, "--config", config)).code == 1


def test_links_need_an_address(tmp_path) -> None:
    """A fault where all are links; a warning where a sender that tells quantities may sell several."""
    path = configuration(tmp_path, {}, extra=SHOP)
    said = ask("check", "--json", "--config", path)
    assert [item["where"] for item in said.json["warnings"] if "links" in item["message"]] == ["server.public_url"]
    path.write_text(path.read_text() + 'seats = "links"\n')
    faulty = ask("check", "--json", "--config", path)
    assert faulty.code == 2
    assert faulty.json["faults"][0]["where"] == "products[5].seats"
    path.write_text(path.read_text().replace('seats = "links"', 'seats = "none"'))
    assert [
        item for item in ask("check", "--json", "--config", path).json["warnings"] if "links" in item["message"]
    ] == []
