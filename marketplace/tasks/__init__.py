"""The work itself: tasks, bundles and their seats, claims and submissions.

Owns: tasks, bundles, seats, the queue of open seats, claims, answers, drafts. Promises: a seat is held by at most one
worker; a worker never answers an item twice; an acknowledged submission is never lost and never counted twice.
Needs: matching, catalog, vetting, identity, audit, core.
"""
