"""Kapok's domain, as a plain library: it knows no web framework and no queue.

The subdomains, top to bottom; each may import only from those below it:

- ``registry``: imports every models module, for migrations and tests
- ``settlement``: use cases across market and money (funding, accrual, release, refund)
- ``quality``: gold, gates, consensus, verdicts, appeals, reports · ``payments``: charges, payouts, providers, webhooks
- ``tasks``: items, tasks, bundles, claims, submissions
- ``matching``: sealed bids, scores, awards, contracts
- ``catalog``: dataset requests, label schemas, guidelines, data, deliveries, exports
- ``vetting``: vetting files of vendors and workers, papers, decisions
- ``identity``: people, organisations, memberships, tokens, API keys · ``ledger``: accounts, transactions, postings
- ``audit``: the append-only trail of who did what
- ``core``: settings, database, errors, money, ids, clock, actor, outbox, idempotency, paging, log, object store
"""
