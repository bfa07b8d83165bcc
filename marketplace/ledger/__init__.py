"""Double-entry bookkeeping: accounts, transactions, postings, balances.

Owns: the tables `account`, `txn`, `posting`, `ledger_block` and `ledger_block_txn`, and the chart of accounts (design:
money.md §4). Promises: for every transaction and currency the postings add up to zero (the database checks it at
commit); a guarded account never goes negative; the same key never posts twice; nothing that was posted is ever changed,
and sealed blocks show it if it was. Needs: core. It knows no market.
"""
