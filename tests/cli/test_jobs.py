import asyncio
import json

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from cli.main import app
from marketplace.core.db import open_database
from marketplace.core.ids import new_id
from marketplace.core.outbox import DeadLetter, Outbox
from marketplace.core.settings import get_settings
from marketplace.core.storage import open_store
from workers.handlers import WorkerResources
from workers.session import bury, run_command


def in_database(settings, command):
    async def run():
        async with open_database(settings, hot_size=1) as database:
            return await command(database)

    return asyncio.run(run())


@pytest.fixture
def kapok(settings, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["jobs", *arguments])
    get_settings.cache_clear()


@pytest.fixture
def dead_job(settings):
    """A job that failed for good, as the worker leaves it: its outbox row stands, sent long ago."""
    job_id = new_id()

    async def command(database):
        async def add(session):
            session.add(Outbox(id=job_id, kind="quality.judge", payload={"request_id": "r"}, sent_at=None))

        await run_command(database, add)
        shared = WorkerResources(settings, database, open_store(settings))
        await bury(shared, job_id, "quality.judge", {"request_id": "r"}, error="Boom()", tries=8)

    in_database(settings, command)
    return job_id


def state(settings, job_id):
    async def command(database):
        async with database.sessions() as session:
            outbox = (await session.exec(select(Outbox).where(Outbox.id == job_id))).first()
            return outbox, await session.get_one(DeadLetter, job_id)

    return in_database(settings, command)


def test_list_shows_what_failed_and_why_when_a_job_is_dead(kapok, dead_job):
    listed = json.loads(kapok("list", "--json").stdout)
    shown = [(one["job_id"], one["kind"], one["error"]) for one in listed]
    assert shown == [(str(dead_job), "quality.judge", "Boom()")]
    assert "quality.judge" in kapok("list").stdout
    assert json.loads(kapok("list", "--kind", "tasks.build", "--json").stdout) == []


def test_replay_puts_the_job_before_the_relay_when_it_is_named(kapok, dead_job, settings):
    assert kapok("replay", str(dead_job)).exit_code == 0
    outbox, letter = state(settings, dead_job)
    assert outbox.sent_at is None
    assert outbox.payload == {"request_id": "r"}
    assert letter.resolution == "replayed"
    assert json.loads(kapok("list", "--json").stdout) == []
    assert len(json.loads(kapok("list", "--all", "--json").stdout)) == 1


def test_drop_removes_the_job_when_all_are_given_up(kapok, dead_job, settings):
    assert kapok("drop", "--all").exit_code == 0
    outbox, letter = state(settings, dead_job)
    assert outbox is None
    assert letter.resolution == "dropped"


def test_replay_refuses_when_no_job_or_an_unknown_one_is_named(kapok, dead_job):
    assert kapok("replay").exit_code == 1
    assert kapok("replay", str(new_id())).exit_code == 1
    assert len(json.loads(kapok("list", "--json").stdout)) == 1
