"""From accepted bundle to money in the payee's hands: funding, accrual, release, closing.

Owns: the running totals per contract and the accruals, and the use cases across market and money. Promises: nobody is
paid for what has not passed its gates, nobody's passed bundle stays unpaid, each is paid once, and a request never pays
more than it reserved. Needs: quality (verdicts), payments (refunds), tasks, matching, catalog, identity, ledger, audit,
core.
"""
