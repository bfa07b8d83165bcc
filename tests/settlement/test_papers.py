"""Papers: any text is drawn, numbers are whole, and what a typeface lacks is said."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.papers import language_of
from marketplace.core.papers.language import Language
from marketplace.core.papers.typefaces import MISSING, font_of, marked_up
from marketplace.settlement.papers.paper import Amount, Column, Paper
from marketplace.settlement.papers.pdf import draw_pdf
from marketplace.settlement.papers.sheet import draw_csv
from marketplace.settlement.papers.words import WORDS


def paper(text, minor=1, currency="CNY", language=Language.ZH):
    amount = Amount(minor, currency)
    columns = [Column("a", 1), Column("b", numeric=True)]
    return Paper(language, "title", [("name", text)], columns, [[text, amount]], [("total", amount)])


def cells(drawn):
    return [cell for row in csv.reader(io.StringIO(drawn.decode("utf-8-sig"), newline="")) for cell in row]


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), minor=st.integers(-(10**15), 10**15))
def test_any_text_and_amount_is_drawn_when_it_is_in_a_paper(text, minor):
    assert draw_pdf(paper(text, minor)).startswith(b"%PDF-")
    drawn = cells(draw_csv(paper(text, minor)))
    assert not [cell for cell in drawn if cell[:1] in {"=", "+", "@", "\t", "\r"}]


def test_pdf_is_the_same_when_drawn_again():
    assert draw_pdf(paper("木棉")) == draw_pdf(paper("木棉"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Kapok & <b>", "Kapok &amp; &lt;b&gt;"),
        ("木a", '<font name="STSong-Light">木</font>a'),
        ("ภ", f'<font name="STSong-Light">{MISSING}</font>'),
        ("a\x0bb\n", "a b "),
        ("\x07", f'<font name="STSong-Light">{MISSING}</font>'),
    ],
)
def test_each_letter_is_set_in_a_typeface_that_has_it(text, shown):
    assert marked_up(text) == shown


@pytest.mark.parametrize(("text", "lacks"), [("hotel 木棉 é", False), ("tiếng Việt", True), ("ภาษาไทย", True)])
def test_letters_are_known_to_be_missing_when_no_typeface_has_them(text, lacks):
    assert any(font_of(char) is None for char in text) is lacks


@pytest.mark.parametrize(
    ("minor", "currency", "shown", "plain"),
    [
        (123456789, "CNY", "1,234,567.89", "1234567.89"),
        (-5, "CNY", "-0.05", "-0.05"),
        (1234567, "VND", "1,234,567", "1234567"),
        (1234567, "MMK", "12,345.67", "12345.67"),
        (0, "USD", "0.00", "0.00"),
        (10**17 + 1, "USD", "1,000,000,000,000,000.01", "1000000000000000.01"),
    ],
)
def test_amount_has_the_decimals_of_the_ledgers_table(minor, currency, shown, plain):
    for language in Language:
        assert Amount(minor, currency).shown(language) == shown
    assert Amount(minor, currency).plain() == plain


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"])
def test_text_is_no_formula_when_a_spreadsheet_opens_it(text):
    assert f"'{text}" in cells(draw_csv(paper(text)))
    assert "-0.05" in cells(draw_csv(paper(text, -5)))


@pytest.mark.parametrize(
    ("locale", "accepted", "language"),
    [
        (None, None, Language.EN),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", Language.ZH),
        (None, "en-GB;q=0.5, zh;q=0.9", Language.ZH),
        (None, "th, vi;q=0.9", Language.EN),
        (None, "zh;q=x,,*;q=0.1", Language.EN),
        ("zh-Hans-CN", "en", Language.ZH),
        ("en", "zh-CN", Language.EN),
        ("zh_CN", None, Language.ZH),
    ],
)
def test_language_is_the_one_asked_for_or_the_first_that_is_accepted(locale, accepted, language):
    assert language_of(locale, accepted) is language


def test_both_languages_have_the_same_words():
    assert WORDS[Language.ZH].keys() == WORDS[Language.EN].keys()
