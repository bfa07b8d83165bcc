"""An invoice as a paper."""

from zoneinfo import ZoneInfo

from marketplace.core.papers.language import Language, shown_date
from marketplace.settlement.paper_models import Invoice, InvoiceKind, InvoiceLine, LineKind
from marketplace.settlement.papers.paper import Amount, Column, Paper
from marketplace.settlement.papers.words import WORDS, kind_word


def invoice_paper(invoice: Invoice, lines: list[InvoiceLine], corrected: Invoice | None, language: Language) -> Paper:
    """Return the invoice, or the credit note to `corrected`, in a language; it says nothing but what the rows say."""
    words = WORDS[language]
    currency = invoice.currency
    issued = invoice.issued_at.astimezone(ZoneInfo(invoice.time_zone)).date()
    corrects = [] if corrected is None else [(words["corrects"], corrected.number)]
    is_note = invoice.kind is InvoiceKind.CREDIT_NOTE
    days = f"{shown_date(invoice.period_start, language)} – {shown_date(invoice.period_end, language)}"
    return Paper(
        language=language,
        title=words["credit_note" if is_note else "invoice"].format(number=invoice.number),
        facts=[
            *corrects,
            (words["issued"], shown_date(issued, language)),
            (words["seller"], invoice.entity_name),
            (words["tax_id"], invoice.entity_tax_id),
            (words["address"], invoice.entity_address),
            (words["buyer"], f"{invoice.buyer_name} ({invoice.buyer_country})"),
            (words["period_back" if is_note else "period"], f"{days} ({invoice.time_zone})"),
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
                str(line.contract_id) if line.kind is LineKind.WORK else kind_word(line.kind.value, language),
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
            (words["total_back" if is_note else "total"], Amount(invoice.total_minor, currency)),
        ],
        notes=[words["no_vat"]],
    )
