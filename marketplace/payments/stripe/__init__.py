"""Stripe as a payment provider: separate charges and transfers, payees as recipient accounts, payouts by hand.

Only `gateway` imports the SDK. The other modules are pure: amounts, the meaning of errors, of objects and of notices.

What Stripe is asked for: POST and GET /v1/payment_intents, /v1/refunds, /v1/transfers, /v1/transfers/{id}/reversals,
/v1/payouts (in the name of the payee's account); POST /v1/balance_settings (likewise, the schedule is `manual`); GET
/v1/balance, /v1/balance_transactions, /v1/events, /v2/core/events; POST and GET /v2/core/accounts, GET
/v2/core/accounts/{id}, POST /v2/core/account_links. Every object carries our reference in `metadata.kapok_ref`.
"""
