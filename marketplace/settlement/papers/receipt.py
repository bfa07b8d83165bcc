"""A receipt: that a top-up came in, or that a refund went out.

Its number is the payment's own id: only invoices are bound to numbers without gaps, and a receipt is no invoice.
"""

from marketplace.core.papers.language import Language, shown_time
from marketplace.payments.models import Charge, Refund
from marketplace.settlement.invoices import LegalEntity
from marketplace.settlement.papers.paper import Amount, Column, Paper
from marketplace.settlement.papers.words import WORDS


def top_up_receipt(charge: Charge, payer: str, entity: LegalEntity, language: Language) -> Paper:
    """Return the receipt of a top-up that succeeded."""
    words = WORDS[language]
    at = shown_time(charge.changed_at, entity.time_zone, language)
    amount = Amount(charge.amount_minor, charge.currency)
    return Paper(
        language=language,
        title=words["receipt_top_up"],
        facts=[
            (words["receipt_number"], str(charge.id)),
            (words["received"], f"{at} ({entity.time_zone})"),
            (words["payee"], entity.name),
            (words["tax_id"], entity.tax_id),
            (words["address"], entity.address),
            (words["payer"], payer),
            (words["provider"], charge.provider),
        ],
        columns=[Column(words["what"], 1), Column(words["amount"], numeric=True)],
        rows=[[words["top_up"], amount]],
        totals=[(words["received_total"], amount)],
        notes=[words["receipt_is_no_invoice"]],
    )


def refund_receipt(refund: Refund, payee: str, entity: LegalEntity, language: Language) -> Paper:
    """Return the confirmation of a refund that was done."""
    words = WORDS[language]
    at = shown_time(refund.changed_at, entity.time_zone, language)
    amount = Amount(refund.amount_minor, refund.currency)
    what = f"{words['refund']} {words['of_top_up'].format(id=refund.charge_id)}"
    return Paper(
        language=language,
        title=words["receipt_refund"],
        facts=[
            (words["receipt_number"], str(refund.id)),
            (words["refunded"], f"{at} ({entity.time_zone})"),
            (words["payer"], entity.name),
            (words["tax_id"], entity.tax_id),
            (words["address"], entity.address),
            (words["payee"], payee),
            (words["provider"], refund.provider),
        ],
        columns=[Column(words["what"], 1), Column(words["amount"], numeric=True)],
        rows=[[what, amount]],
        totals=[(words["refunded_total"], amount)],
        notes=[words["refund_is_no_invoice"]],
    )
