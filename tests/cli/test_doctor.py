import asyncio
import json
import os
import socket
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from typer.testing import CliRunner

from cli import doctor as module
from cli.doctor import Patient, examine
from cli.main import app
from cli.migrate import newest_revision
from marketplace.core.settings import Settings, get_settings
from tests.servers import test_servers

# As much of the tables as the check reads.
JOB_TABLES = """
    CREATE TABLE dead_letter (resolved_at timestamptz);
    CREATE TABLE outbox (sent_at timestamptz, due_at timestamptz);
"""


@pytest.fixture(scope="module")
def own_servers():
    with test_servers() as urls:
        yield urls


@pytest.fixture
def database_url(own_servers):
    name = f"doctor_{uuid4().hex}"
    execute(own_servers[0], f"CREATE DATABASE {name}")
    yield f"{own_servers[0].rpartition('/')[0]}/{name}"
    execute(own_servers[0], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def port():
    """A port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def patient(own_servers, database_url, port, tmp_path):
    settings = Settings(_env_file=None, database_url=database_url, redis_url=own_servers[1], port=port)
    return Patient(settings, tmp_path, None)


def execute(url, statement):
    async def run():
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def stamp(patient):
    execute(patient.database_url, f"CREATE TABLE alembic_version AS SELECT '{newest_revision()}' AS version_num")


def finding(patient, check):
    return next(found for found in examine(patient) if found.check == check)


def test_pending_migrations_are_reported_when_database_is_empty(patient):
    found = finding(patient, "Migrations")
    assert (found.state, found.mend) == ("problem", "kapok migrate")
    assert f"needs {newest_revision()}" in found.detail


def test_nothing_is_reported_when_all_is_well(patient):
    stamp(patient)
    execute(patient.database_url, JOB_TABLES)
    assert [found for found in examine(patient) if found.state == "problem"] == []


def test_dead_jobs_are_reported_when_unresolved(patient):
    execute(patient.database_url, JOB_TABLES + "INSERT INTO dead_letter VALUES (NULL), (now());")
    assert finding(patient, "Jobs").detail == "1 jobs failed for good."


def test_waiting_jobs_are_reported_when_no_worker_takes_them(patient):
    late = "INSERT INTO outbox VALUES (NULL, now() - interval '1 hour'), (NULL, now() + interval '1 hour');"
    execute(patient.database_url, JOB_TABLES + late)
    assert finding(patient, "Jobs").detail == "1 jobs wait for a worker."


def test_provider_is_reported_when_it_does_not_answer(patient):
    circuits = "CREATE TABLE provider_circuit (provider text, state text);"
    execute(
        patient.database_url,
        circuits + "INSERT INTO provider_circuit VALUES ('stripe', 'open'), ('sandbox', 'closed');",
    )
    assert finding(patient, "Payment providers").detail == "stripe does not answer."


def test_taken_port_is_reported_when_another_program_listens(patient):
    with socket.create_server(("127.0.0.1", patient.settings.port)):
        found = finding(patient, "Port")
    assert found.state == "problem"
    assert "--port" in found.mend


def test_readable_secrets_are_reported(patient):
    secrets = patient.home / "secrets.json"
    secrets.touch(mode=0o644)
    assert finding(patient, "Data folder").mend == f"chmod 600 {secrets}"


def test_full_disk_is_reported(patient, monkeypatch):
    monkeypatch.setattr(module, "FREE_BYTES", 2**60)
    assert finding(patient, "Disk").state == "problem"


def test_clock_is_reported_when_it_went_back(patient):
    log = patient.home / "logs" / "api.log"
    log.parent.mkdir()
    log.touch()
    os.utime(log, (time.time() + 3600, time.time() + 3600))
    assert "before the newest log" in finding(patient, "Clock").detail


def test_unreachable_servers_are_reported(port, tmp_path):
    settings = Settings(
        _env_file=None, database_url=f"postgresql://a:b@127.0.0.1:{port}/c", redis_url=f"redis://127.0.0.1:{port}/0"
    )
    nowhere = Patient(settings, tmp_path, None)
    assert "does not answer" in finding(nowhere, "PostgreSQL").detail
    assert "does not answer" in finding(nowhere, "Redis").detail


def test_data_of_another_version_are_reported(own_servers, tmp_path):
    made_by = tmp_path / "postgres" / "data" / "PG_VERSION"
    made_by.parent.mkdir(parents=True)
    made_by.write_text("9.6\n")
    assert (
        "made by PostgreSQL 9.6" in finding(Patient(Settings(_env_file=None), tmp_path, None), "Server programs").detail
    )


def test_exit_code_is_one_and_findings_are_json_when_something_is_wrong(database_url, own_servers, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setenv("REDIS_URL", own_servers[1])
        get_settings.cache_clear()
        result = CliRunner().invoke(app, ["doctor", "--json", "--home", str(Path(folder) / "home")])
        get_settings.cache_clear()
    assert result.exit_code == 1
    states = {found["check"]: found["state"] for found in json.loads(result.stdout)}
    assert states["Migrations"] == "problem"
    assert states["PostgreSQL"] == "ok"


def test_missing_legal_entity_is_a_problem_when_in_production_only(patient):
    for env, state in (("dev", "skipped"), ("production", "problem")):
        settings = patient.settings.model_copy(update={"env": env, "operator_tax_id": "1"})
        (finding,) = [found for found in examine(Patient(settings, patient.home, None)) if found.check == "Invoices"]
        assert (finding.state, "OPERATOR_LEGAL_NAME" in finding.detail) == (state, True)
        assert "OPERATOR_TAX_ID" not in finding.detail
