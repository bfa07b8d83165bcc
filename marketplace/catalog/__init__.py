"""Dataset requests: what an enterprise wants labeled, how, by when, for how much.

Owns: dataset requests and their states, label schemas, guidelines, uploaded data and items, gold truths, deliveries
and exports as files. Promises: every answer can be checked against the versioned label schema; data are streamed and
never whole in memory. Needs: vetting, identity, audit, core.
"""
