"""The bank file and the bank's result file as text: written in one form, read strictly."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.money import EXPONENTS
from marketplace.payments.bank_file.errors import BankResultRefused
from marketplace.payments.bank_file.file_format import Payment, major, minor, render, totals_of
from marketplace.payments.bank_file.results_format import COLUMNS, read
from tests.factories.bank_file import result_file

HEAD = ",".join(COLUMNS)
REF = "0" * 32


@given(st.integers(-(10**14), 10**14), st.sampled_from(sorted(EXPONENTS)))
def test_amount_is_the_same_when_it_is_written_and_read(amount, currency):
    assert minor(major(amount, currency), currency) == amount


@pytest.mark.parametrize("text", ["1.5", "1", "1.234", "01.00", "1,00", "1e2", " 1.00", "+1.00", "1.00\n", "１.00", ""])
def test_amount_is_refused_when_it_is_written_in_another_form(text):
    with pytest.raises(ValueError, match="is no amount"):
        minor(text, "CNY")


def test_amount_has_the_currencys_decimals_when_it_is_written():
    assert [major(1234, "CNY"), major(5, "CNY"), major(1234, "VND"), major(-5, "CNY")] == [
        "12.34", "0.05", "1234", "-0.05",
    ]  # fmt: skip


def test_hash_total_is_of_the_last_ten_digits_when_accounts_are_long():
    payments = [Payment("a", "n", "b", "6222021234567890123", 1), Payment("c", "n", "b", "DE009999999999", 2)]
    assert totals_of(payments).hash_total == f"{(4567890123 + 9999999999) % 10**10:010d}"


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx"])
def test_cell_is_text_when_it_would_be_a_formula(name):
    content = render("b", "CNY", [Payment("a", name, "BANK", "1234", 1)]).decode()
    assert f",'{name}," in content


def test_result_is_read_when_it_has_a_byte_order_mark():
    found = read(b"\xef\xbb\xbf" + result_file("VND", [(REF, "returned", 1000)], closing=-5))
    assert (found.currency, found.balance.stated_minor, found.rows[0].said.result) == ("VND", -5, "returned")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        (HEAD + "\n", 1),
        (HEAD.replace("ref", "reference") + "\nT,,0,0.00,CNY,,,\n", 1),
        (HEAD + "\nT,,0,0.00\n", 2),
        (HEAD + "\nT,,0,0.00,XXX,,,\n", 2),
        (HEAD + f"\nR,{REF},paid,1.00,CNY,,2026-01-01,\n", 2),
        (HEAD + f"\nR,{REF},paid,1.00,USD,,2026-01-01,\nT,,1,1.00,CNY,,,\n", 2),
        (HEAD + f"\nR,{REF},paid,-1.00,CNY,,2026-01-01,\nT,,1,-1.00,CNY,,,\n", 2),
        (HEAD + "\nB,,,1.00,CNY,,2026-01-01,\nB,,,2.00,CNY,,2026-01-01,\nT,,0,0.00,CNY,,,\n", 3),
        (HEAD + "\nX,,,1.00,CNY,,,\nT,,0,0.00,CNY,,,\n", 2),
        (HEAD + '\n"R,\nT,,0,0.00,CNY,,,\n', 3),
    ],
)
def test_result_file_is_refused_with_its_line_when_it_is_not_of_the_form(text, line):
    with pytest.raises(BankResultRefused) as refused:
        read(text.encode())
    assert refused.value.fields[0].line == line


@pytest.mark.parametrize(
    "change", [("2026-01-01", "1767225600"), ("2026-01-01", "01/02/2026"), (REF, "=1+1"), ("paid", "PAID")]
)
def test_row_is_named_and_not_read_when_a_cell_is_wrong(change):
    text = HEAD + f"\nR,{REF},paid,1.00,CNY,,2026-01-01,\nT,,1,1.00,CNY,,,\n"
    assert read(text.encode()).rows[0].said is not None
    (row,) = read(text.replace(*change).encode()).rows
    assert row.said is None
    assert row.problem


@given(st.binary(max_size=300))
def test_result_file_is_read_or_refused_when_it_is_any_bytes(content):
    with suppress(BankResultRefused):
        assert read(content).rows == []
