"""What every subdomain stands on, and nothing that knows the market.

Owns: settings, the database session and table base, errors, money, ids, clock, actor, outbox, idempotency keys,
paging, logging and the object store. Promises: no import from any other subdomain. Needs: PostgreSQL, an object store.
"""
