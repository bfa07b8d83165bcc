"""The trail of who did what to which row.

Owns: the append-only `audit_entry` table. Promises: an entry is written in the transaction of the act, and the
application role can neither change nor delete it. Needs: core.
"""
