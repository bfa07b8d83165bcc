"""Double-entry bookkeeping: accounts, transactions, postings, balances.

Owns: the tables `account`, `txn` and `posting`, and the chart of accounts (design: money.md §4). Promises: for every
transaction and currency the postings add up to zero (the database checks it at commit); a guarded account never goes
negative; the same key never posts twice; nothing that was posted is ever changed. Needs: core. It knows no market.
"""
