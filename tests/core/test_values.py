"""Money, pages, cursors, ids and turns: the small things that everything rests on."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import (
    PRICE_SCALE,
    CurrencyMixed,
    CurrencyUnknown,
    Money,
    check_currency,
    cumulative_due,
    largest_remainder,
)
from marketplace.core.outbox import Outbox, emit
from marketplace.core.paging import CursorInvalid, PageQuery, decode_cursor, encode_cursor, read_page
from marketplace.core.schedule import resting, take_turn


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40),
    st.integers(1, 10_000_000),
)
def test_accruals_add_up_to_the_rounded_total_however_the_work_is_cut(bundles, price):
    units = accrued = 0
    for size in bundles:
        units += size
        due = cumulative_due(units, price, accrued)
        assert due >= 0
        accrued += due
    assert abs(accrued * PRICE_SCALE - units * price) * 2 <= PRICE_SCALE


@given(st.integers(0, 10**15), st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1, max_size=9))
def test_parts_add_up_to_the_amount_when_it_is_split(amount, shares):
    if sum(shares.values()) == 0:
        with pytest.raises(ValueError, match="positive"):
            largest_remainder(amount, shares)
        return
    parts = largest_remainder(amount, shares)
    assert sum(parts.values()) == amount
    exact = {key: amount * share / sum(shares.values()) for key, share in shares.items()}
    assert all(abs(parts[key] - exact[key]) <= 1 + exact[key] * 1e-9 for key in shares)


def test_currencies_never_mix():
    assert Money(150, "CNY") + Money(50, "CNY") - Money(100, "CNY") == Money(100, "CNY")
    with pytest.raises(CurrencyMixed):
        Money(1, "CNY") + Money(1, "VND")
    with pytest.raises(CurrencyUnknown):
        check_currency("XXX")
    assert [str(Money(123_456, "CNY")), str(Money(123_456, "VND"))] == ["1,234.56 CNY", "123,456 VND"]


@given(st.uuids())
def test_cursor_is_read_back_as_the_id_it_stands_for(row_id):
    assert decode_cursor(encode_cursor(row_id)) == row_id


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "é" * 22, "\x00", "A" * 100])
def test_cursor_is_refused_when_no_list_gave_it_out(cursor):
    with pytest.raises(CursorInvalid):
        decode_cursor(cursor)


async def test_pages_show_every_row_once_newest_first(session):
    for _ in range(7):
        emit(session, "trial.page", {})
    await session.flush()
    seen, cursor, sizes = [], None, []
    while True:
        statement = select(Outbox).where(col(Outbox.kind) == "trial.page")
        rows, cursor = await read_page(session, statement, Outbox.id, PageQuery(cursor=cursor, limit=3))
        seen += [row.id for row in rows]
        sizes.append(len(rows))
        if cursor is None:
            break
    assert sizes == [3, 3, 1]
    assert seen == sorted(set(seen), reverse=True)


def test_ids_are_of_version_7_and_sort_by_their_time():
    ids = [new_id() for _ in range(200)]
    assert {each.version for each in ids} == {7}
    assert {each.variant for each in ids} == {UUID(int=0x8 << 60).variant}
    assert len(set(ids)) == 200
    made = (ids[0].int >> 80) / 1000
    assert abs(made - now().timestamp()) < 60
    assert [each.int >> 80 for each in ids] == sorted(each.int >> 80 for each in ids)


async def test_turn_is_taken_by_one_when_many_ask(database):
    async def ask(kind="trial.turn"):
        async with database.sessions() as session:
            taken = await take_turn(session, kind, timedelta(hours=1))
            await session.commit()
            return taken

    assert sorted(await asyncio.gather(*(ask() for _ in range(5)))) == [False] * 4 + [True]
    assert await ask("trial.other") is True
    async with database.sessions() as session:
        assert await resting(session) == {"trial.turn", "trial.other"}


async def test_turn_is_free_again_when_its_taker_breaks_off(database):
    async with database.sessions() as session:
        assert await take_turn(session, "trial.turn", timedelta(hours=1))
        await session.rollback()
    async with database.sessions() as session:
        assert await resting(session) == set()
        assert await take_turn(session, "trial.turn", timedelta(hours=1))
