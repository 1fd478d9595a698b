"""PostgreSQL servers, roles and sessions that are not as one would make them: nobody's purchase is refused for it."""

from __future__ import annotations

import asyncio
import random
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from benchmarks.postgresql import Server
from bridge.contract.command import Learner
from bridge.contract.errors import LedgerError
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit
from tests.ledger.cluster import Cluster
from tests.ledger.rig import World, buy, line

FAR = Learner(remote_user_id="u9", email="far@example.org", first_name="Łukasz 🎓", last_name="Ωμέγα")
_NAME = "SELECT first_name FROM learner WHERE remote_user_id = 'u9'"


async def kinds(world: World, orders: range) -> set[str]:
    """Return what several purchases, one after the other, were answered with."""
    return {(await world.accept(buy("INTRO", who=FAR, order=f"o-{order}"))).kind for order in orders}


def ask(url: str, statement: str) -> None:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "setting",
    [
        "client_encoding = 'LATIN1'",
        "client_encoding = 'SQL_ASCII'",
        "statement_timeout = '1ms'",
        "standard_conforming_strings = off",
        "\"DateStyle\" = 'German'",
    ],
)
async def test_what_a_database_is_set_to_refuses_nobody(shared_url: str, setting: str) -> None:
    """The settings of a role or a database are for others; a name of whichever letters is kept as it is."""
    ask(shared_url, f'ALTER DATABASE "{make_url(shared_url).database}" SET {setting}')
    ledger = Ledger(shared_url)
    await ledger.open()
    assert await kinds(World(ledger), range(5)) == {"accepted"}
    assert await ledger.write(lambda unit: unit.rows(_NAME)[0].first_name) == "Łukasz 🎓"
    await ledger.close()


async def test_a_database_without_an_encoding_keeps_names(postgres: Cluster) -> None:
    """SQL_ASCII takes the bytes as they come; they are text again when they are read."""
    postgres.ask("CREATE DATABASE no_encoding TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    ledger = Ledger(postgres.url("no_encoding"))
    await ledger.open()
    assert await kinds(World(ledger), range(1)) == {"accepted"}
    assert await ledger.read(lambda connection: connection.exec_driver_sql(_NAME).scalar_one()) == "Łukasz 🎓"
    await ledger.close()


async def test_a_database_that_can_t_hold_every_name_is_refused_at_once(postgres: Cluster) -> None:
    """And not when the first of those people has paid."""
    postgres.ask("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    ledger = Ledger(postgres.url("narrow"))
    with pytest.raises(LedgerError, match=r"LATIN1.*UTF8"):
        await ledger.open()
    await ledger.close()


async def test_a_transaction_sees_what_others_commit_meanwhile(shared_url: str) -> None:
    """Whoever has waited for a row judges by what is there then, also where the database's default is another."""
    ask(
        shared_url,
        f"""ALTER DATABASE "{make_url(shared_url).database}" SET default_transaction_isolation = 'serializable'""",
    )
    ledger = Ledger(shared_url)
    await ledger.open()

    def look(unit: Unit) -> tuple[int, int]:
        before = len(unit.rows("SELECT * FROM lane"))
        ask(shared_url, "INSERT INTO lane (target, paused_at, paused_by, why, remedy) VALUES ('lms', 1, 'ada', '', '')")
        return before, len(unit.rows("SELECT * FROM lane"))

    assert await ledger.write(look) == (0, 1)
    await ledger.close()


@pytest.mark.parametrize("emptied", ["DEALLOCATE ALL", "DISCARD ALL"])
async def test_a_session_that_was_emptied_is_used_on(shared_url: str, emptied: str) -> None:
    """A pooler lets the server forget what was prepared: it is prepared anew, and no purchase is refused."""
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    assert await kinds(world, range(5)) == {"accepted"}

    def empty(unit: Unit) -> None:
        unit._driver.commit()
        unit._driver.autocommit = True
        unit._driver.execute(emptied)
        unit._driver.autocommit = False

    await ledger.write(empty)
    assert await kinds(world, range(5, 10)) == {"accepted"}
    together = await world.together(*[buy("INTRO", order=f"o-{order}") for order in range(10, 20)])
    assert {reception.kind for reception in together} == {"accepted"}
    await ledger.close()


async def test_two_bridges_prepare_under_names_of_their_own(shared_url: str) -> None:
    """Behind one session by mistake, neither runs the other's statement in place of its own."""
    names = []
    for _ in range(2):
        ledger = Ledger(shared_url)
        await ledger.open()
        assert await kinds(World(ledger), range(5)) == {"accepted"}
        names.append(
            await ledger.write(lambda unit: {row.name for row in unit.rows("SELECT name FROM pg_prepared_statements")})
        )
        await ledger.close()
    assert names[0]
    assert names[0].isdisjoint(names[1])


def _killed(server: Server) -> None:
    server.stop("immediate")
    server.start()


@pytest.mark.parametrize("writes", [1, 20], ids=["one", "a group"])
async def test_a_server_that_died_and_is_there_again_has_refused_nobody(writes: int) -> None:
    """No goodbye came over the connection: what is written next finds that out, before anything was done on it."""
    server = Server()
    ledger = Ledger(server.url())
    await ledger.open()
    world = World(ledger)
    for crash in range(2):
        orders = range(crash * writes, (crash + 1) * writes)
        together = await world.together(*[buy("INTRO", order=f"o-{order}") for order in orders])
        assert {reception.kind for reception in together} == {"accepted"}
        await asyncio.to_thread(_killed, server)
    assert (await world.accept(buy("INTRO", order="last"))).kind == "accepted"
    await ledger.close()
    server.end()


async def test_a_server_that_is_gone_is_the_trouble_of_all_and_of_no_statement() -> None:
    """Nobody looks for a defect of the bridge: one line in the log says for how many, and no trace of calls."""
    server = Server()
    ledger = Ledger(server.url())
    await ledger.open()
    world = World(ledger)
    assert await kinds(world, range(1)) == {"accepted"}
    await asyncio.to_thread(server.stop, "immediate")
    with capture_logs() as logs:
        together = await world.together(*[buy("INTRO", order=f"o-{order}") for order in range(1, 20)])
    assert {reception.kind for reception in together} == {"unavailable"}
    assert {line["event"] for line in logs} == {"intake.unavailable"}
    await asyncio.to_thread(server.start)
    assert await kinds(world, range(1, 2)) == {"accepted"}
    await ledger.close()
    server.end()


async def test_the_first_purchase_after_a_quiet_night_is_taken(shared_url: str) -> None:
    """The server has ended the idle session, or was restarted meanwhile: whoever comes first does not pay for it."""
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    assert await kinds(world, range(1)) == {"accepted"}
    for night in range(1, 4):
        writer = await ledger.write(lambda unit: unit.rows("SELECT pg_backend_pid() AS pid")[0].pid)
        await asyncio.to_thread(ask, shared_url, f"SELECT pg_terminate_backend({writer}, 5000)")
        assert await kinds(world, range(night, night + 1)) == {"accepted"}
    await ledger.close()


async def test_a_purchase_that_an_index_does_not_hold_is_kept_as_not_understood(shared_url: str) -> None:
    """Told to come again its sender would come for ever, and nobody would see that somebody has paid."""
    signs = [chr(sign) for sign in range(0x4E00, 0x9FFF)]
    key, reference = ("".join(random.Random(seed).choices(signs, k=500)) for seed in (1, 2))
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    first, other = await world.together(buy(line("INTRO", reference), order=key), buy("INTRO", who=FAR, order="o-1"))
    assert (first.kind, other.kind) == ("invalid", "accepted")
    assert {row.state for row in await world.rows("SELECT state FROM event")} == {"refused", "accepted"}
    assert world.intake.refused == ""
    await ledger.close()


async def test_a_person_who_is_held_elsewhere_holds_up_nobody_else(shared_url: str) -> None:
    """Whoever shares the transaction with an event of theirs is taken all the same; they are, once they are free."""
    ledger = Ledger(shared_url)
    await ledger.open()
    world = World(ledger)
    assert await kinds(world, range(1)) == {"accepted"}
    people = [Learner(remote_user_id=f"u{n}", email=f"u{n}@example.org") for n in (1, 2, 9, 3, 4)]
    bought = [buy("INTRO", who=who, order=f"p-{who.remote_user_id}") for who in people]
    with closing(psycopg.connect(shared_url)) as other:
        other.execute("SELECT 1 FROM learner WHERE remote_user_id = 'u9' FOR UPDATE")
        found = [reception.kind for reception in await world.together(*bought)]
        assert found == ["accepted", "accepted", "unavailable", "accepted", "accepted"]
        other.rollback()
    assert (await world.accept(bought[2])).kind == "accepted"
    await ledger.close()
