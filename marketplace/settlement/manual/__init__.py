"""Postings by hand, with four eyes: one operator proposes, another one approves, and only then the ledger moves.

Owns: the proposals and what became of them. Promises: an approved proposal is posted once, under `manual:{proposal}`;
nobody approves their own; no flow that a machine drives is touched. Needs: the ledger, accruals, people.
"""
