"""An invoice as a paper."""

from zoneinfo import ZoneInfo

from marketplace.settlement.paper_models import Invoice, InvoiceLine
from marketplace.settlement.papers.paper import Amount, Column, Language, Paper, shown_date
from marketplace.settlement.papers.words import WORDS


def invoice_paper(invoice: Invoice, lines: list[InvoiceLine], language: Language) -> Paper:
    """Return the invoice in a language; it says what the rows say and nothing of today."""
    words = WORDS[language]
    currency = invoice.currency
    issued = invoice.issued_at.astimezone(ZoneInfo(invoice.time_zone)).date()
    days = f"{shown_date(invoice.period_start, language)} – {shown_date(invoice.period_end, language)}"
    return Paper(
        language=language,
        title=words["invoice"].format(number=invoice.number),
        facts=[
            (words["issued"], shown_date(issued, language)),
            (words["seller"], invoice.entity_name),
            (words["tax_id"], invoice.entity_tax_id),
            (words["address"], invoice.entity_address),
            (words["buyer"], f"{invoice.buyer_name} ({invoice.buyer_country})"),
            (words["period"], f"{days} ({invoice.time_zone})"),
            (words["currency"], currency),
        ],
        columns=[
            Column(words["request"], 5),
            Column(words["contract"], 3),
            Column(words["units"], numeric=True),
            Column(words["work"], numeric=True),
            Column(words["fee"], numeric=True),
            Column(words["amount"], numeric=True),
        ],
        rows=[
            [
                line.request_title,
                str(line.contract_id),
                line.units,
                Amount(line.work_minor, currency),
                Amount(line.fee_minor, currency),
                Amount(line.amount_minor, currency),
            ]
            for line in lines
        ],
        totals=[
            (words["sum_work"], Amount(invoice.work_minor, currency)),
            (words["sum_fee"], Amount(invoice.fee_minor, currency)),
            (words["total"], Amount(invoice.total_minor, currency)),
        ],
        notes=[words["no_vat"]],
    )
