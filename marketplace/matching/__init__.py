"""Supply meets demand: sealed bids, their scores, the award and the contracts it makes.

Owns: bids, awards, contracts. Promises: a sealed bid is unreadable until the deadline; an award has published reasons.
Needs: catalog, vetting, identity, audit, core.
"""
