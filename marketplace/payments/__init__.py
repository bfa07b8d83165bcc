"""Money in and out through a payment provider: charges, payouts, refunds, webhooks.

Owns: payees, charges, payouts, refunds, the calls made to a provider and the inbox of its webhooks; the sandbox
provider under `sandbox/` has tables of its own and is reached only through `gateway.Gateway`. Promises: a call row is
committed before a call leaves; an unknown outcome is looked up before anything is tried again; nothing is paid twice
or lost, whatever crashes (money.md §5). Needs: core, audit, ledger. It knows no market.
"""
