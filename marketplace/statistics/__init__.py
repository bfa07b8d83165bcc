"""Read models over the whole market: the live progress of a request, and track records of vendors.

Owns: no table. Promises: a few set-based queries a read, whatever the size of the request; nothing is changed.
Needs: tasks, matching, catalog, ledger, core.
"""
