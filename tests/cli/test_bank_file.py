import asyncio
import base64

import pytest
from typer.testing import CliRunner

from cli.main import app
from marketplace.core.db import open_database
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import get_settings
from marketplace.core.signatures import signing_key
from marketplace.payments.bank_file import batches
from tests.factories.bank_file import MAKER, RELEASER, BankFileBooks, result_file
from tests.factories.money import committed

AMOUNT = Money(1_000, "VND")


@pytest.fixture
def kapok(settings, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SECRET_KEY", settings.secret_key.get_secret_value())
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["bank-file", *map(str, arguments)])
    get_settings.cache_clear()


@pytest.fixture
def released(settings):
    """A released file with one payment: its id, and the payment's reference."""

    async def make():
        async with open_database(settings) as database:
            books, ref = BankFileBooks(settings, database), new_id().hex
            await books.fund(AMOUNT)
            await books.queue(ref, AMOUNT)
            async with committed(database) as session:
                batch_id = (await batches.make(session, MAKER, "VND")).id
            async with committed(database) as session:
                await batches.release(session, settings, RELEASER, batch_id)
            return batch_id, ref

    return asyncio.run(make())


@pytest.fixture
def key(settings):
    return base64.b64encode(signing_key(settings).public_key().public_bytes_raw()).decode()


def test_file_is_written_verified_and_answered_when_a_released_one_is_exported(kapok, released, key, tmp_path):
    batch_id, ref = released
    first = kapok("export", batch_id, "--to", tmp_path)
    assert first.exit_code == 0, first.output
    path = tmp_path / f"kapok-{batch_id.hex}.csv"
    content = path.read_bytes()
    assert kapok("export", batch_id, "--to", tmp_path).exit_code == 0
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o077 == 0
    told = kapok("verify", path, "--key", key)
    assert (told.exit_code, "1 payments, 1000 VND" in told.output) == (0, True)
    answer = tmp_path / "answer.csv"
    answer.write_bytes(result_file("VND", [(ref, "paid", AMOUNT.minor), (new_id().hex, "paid", 7)]))
    read = kapok("import", answer)
    assert (read.exit_code, "1 applied, 0 known before, 1 refused" in read.output) == (1, True)
    assert "line 3" in read.output
    assert "unknown_ref" in read.output


def test_file_is_not_to_be_paid_when_it_was_changed(kapok, released, key, tmp_path):
    batch_id, _ref = released
    kapok("export", batch_id, "--to", tmp_path)
    path = tmp_path / f"kapok-{batch_id.hex}.csv"
    path.write_bytes(path.read_bytes().replace(b"1000", b"9000"))
    told = kapok("verify", path, "--key", key)
    assert told.exit_code == 1
    assert "not the one that was signed" in told.output


def test_nothing_is_written_when_the_file_was_not_released_by_a_second_person(kapok, settings, tmp_path):
    async def make():
        async with open_database(settings) as database:
            await BankFileBooks(settings, database).queue(new_id().hex, AMOUNT)
            async with committed(database) as session:
                return (await batches.make(session, MAKER, "VND")).id

    told = kapok("export", asyncio.run(make()), "--to", tmp_path)
    assert told.exit_code == 1
    assert list(tmp_path.glob("*.csv")) == []


def test_nothing_is_applied_when_the_banks_file_is_cut_off(kapok, released, tmp_path):
    batch_id, ref = released
    kapok("export", batch_id, "--to", tmp_path)
    answer = tmp_path / "answer.csv"
    answer.write_bytes(result_file("VND", [(ref, "paid", AMOUNT.minor)], count=2))
    told = kapok("import", answer)
    assert told.exit_code == 1
    assert "line 3" in told.output
