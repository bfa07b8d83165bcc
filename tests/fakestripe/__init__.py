"""A stateful fake of Stripe over HTTP, for tests: keys, balances, payouts that fail late, signed webhooks, faults.

It refuses, and notes in `contract_breaks`, what the SDK's own parameter types do not allow. It was written from the
documentation and the SDK; it was never compared with Stripe itself.
"""

from tests.fakestripe.server import running_fake

__all__ = ["running_fake"]
