"""A statement of account as a paper."""

from datetime import datetime

from marketplace.core.papers.language import Language, shown_date, shown_time
from marketplace.settlement.papers.paper import Amount, Cell, Column, Paper, shown_amount
from marketplace.settlement.papers.words import WORDS, kind_word
from marketplace.settlement.statements import Movement, Statement


def statement_paper(statement: Statement, holder: str, drawn_at: datetime, language: Language) -> Paper:
    """Return the statement of a holder's account in a language."""
    words, period = WORDS[language], statement.period
    currency = statement.currency
    return Paper(
        language=language,
        title=words["statement"],
        facts=[
            (words["holder"], holder),
            (words["days"], f"{shown_date(period.first, language)} – {shown_date(period.last, language)}"),
            (words["currency"], currency),
            (words["issued_at"], shown_time(drawn_at, period.time_zone, language)),
            (words["opening"], f"{shown_amount(statement.opening_minor, currency, language)} {currency}"),
        ],
        columns=[
            Column(words["at"], 3),
            Column(words["movement"], 3),
            Column(words["subject"], 7),
            Column(words["moved_in"], numeric=True),
            Column(words["moved_out"], numeric=True),
            Column(words["balance"], numeric=True),
        ],
        rows=[_row(movement, statement, language) for movement in statement.movements],
        totals=[
            (words["opening"], Amount(statement.opening_minor, currency)),
            (words["moved_in"], Amount(sum(max(line.amount_minor, 0) for line in statement.movements), currency)),
            (words["moved_out"], Amount(sum(max(-line.amount_minor, 0) for line in statement.movements), currency)),
            (words["closing"], Amount(statement.closing_minor, currency)),
        ],
        notes=[words["times_are"].format(zone=period.time_zone)],
    )


def _row(movement: Movement, statement: Statement, language: Language) -> list[Cell]:
    currency = statement.currency
    amount = Amount(abs(movement.amount_minor), currency)
    subject = movement.subject
    if movement.withholding is not None:
        tax = movement.withholding
        withheld = WORDS[language]["withheld"].format(
            amount=shown_amount(tax.tax_minor, currency, language), mode=tax.mode, table=tax.table,
            authority=tax.authority,
        )  # fmt: skip
        subject = f"{withheld} · {subject}"
    return [
        shown_time(movement.effective_at, statement.period.time_zone, language),
        kind_word(movement.kind, language),
        subject,
        amount if movement.amount_minor > 0 else "",
        amount if movement.amount_minor < 0 else "",
        Amount(movement.balance_minor, currency),
    ]
