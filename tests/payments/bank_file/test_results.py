"""The bank's result files: applied once, row by row, or refused as a whole."""

import asyncio

import pytest

from marketplace.core.ids import new_id
from marketplace.payments.bank_file import results
from marketplace.payments.bank_file.errors import BankResultRefused
from marketplace.payments.bank_file.models import BankFileImport
from marketplace.payments.bank_file.states import LineState
from marketplace.payments.models import Payout
from marketplace.payments.states import PayoutState
from tests.factories.bank_file import (
    AMOUNT_MINOR,
    MAKER,
    line_of,
    queued_payout,
    result_file,
)
from tests.factories.money import committed, row_of, waiting_jobs


async def test_nothing_changes_when_a_result_file_comes_again(database, gateway, books, drive, funded):
    await queued_payout(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    content = result_file("CNY", [(ref, "paid", AMOUNT_MINOR)])
    ids = []
    for _ in range(2):
        async with committed(database) as session:
            ids.append((await results.import_results(session, MAKER, content)).id)
        await drive()
    assert ids[0] == ids[1]
    other = await books.answer("CNY", {ref: "paid"}, closing=1)  # other bytes, the same news
    assert (other.applied, other.repeated, other.refused) == (0, 1, 0)
    assert await waiting_jobs(database) == []


async def test_one_report_is_made_when_a_result_file_comes_twice_at_once(database, gateway, books, drive, funded):
    payout = await queued_payout(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    content = result_file("CNY", [(ref, "paid", AMOUNT_MINOR)])

    async def read() -> BankFileImport:
        async with committed(database) as session:
            return await results.import_results(session, MAKER, content)

    first, *others = await asyncio.gather(*(read() for _ in range(4)))
    assert {other.id for other in others} == {first.id}
    await drive()
    assert (await row_of(database, Payout, payout.id)).state is PayoutState.PAID


async def test_bad_rows_are_reported_and_good_ones_applied_when_a_result_file_holds_both(
    database, gateway, books, drive, funded
):
    sent = [await queued_payout(database, gateway, books, drive) for _ in range(2)]
    await books.send("CNY")
    waiting = await queued_payout(database, gateway, books, drive)
    good, cheap = (payout.id.hex for payout in sent)
    rows = [
        (good, "paid", AMOUNT_MINOR), (new_id().hex, "paid", AMOUNT_MINOR), (cheap, "paid", AMOUNT_MINOR - 1),
        (waiting.id.hex, "paid", AMOUNT_MINOR), (good, "failed", AMOUNT_MINOR), (cheap, "perhaps", AMOUNT_MINOR),
    ]  # fmt: skip
    async with committed(database) as session:
        made = await results.import_results(session, MAKER, result_file("CNY", rows))
    assert [(row["line"], row["outcome"]) for row in made.report] == [
        (2, "applied"), (3, "unknown_ref"), (4, "wrong_amount"), (5, "not_exported"), (6, "contradicts"),
        (7, "malformed"),
    ]  # fmt: skip
    assert (made.applied, made.refused) == (1, 5)
    assert [(await line_of(database, payout)).state for payout in (*sent, waiting)] == [
        LineState.PAID, LineState.EXPORTED, LineState.QUEUED,
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"count": 2}, {"total": AMOUNT_MINOR + 1}])
async def test_whole_file_is_refused_when_its_control_totals_do_not_fit(database, gateway, books, drive, funded, wrong):
    payout = await queued_payout(database, gateway, books, drive)
    (ref,) = await books.send("CNY")
    with pytest.raises(BankResultRefused) as refused:
        async with committed(database) as session:
            await results.import_results(session, MAKER, result_file("CNY", [(ref, "paid", AMOUNT_MINOR)], **wrong))
    assert [problem.line for problem in refused.value.fields] == [3]
    assert (await line_of(database, payout)).state is LineState.EXPORTED
