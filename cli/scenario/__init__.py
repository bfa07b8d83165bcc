"""People who do not exist, at work on a Kapok that does: what demo, replay, bench and the demo market share.

Everything a user could do goes over the public HTTP API, as it would from outside; only the operator's first admin is
appointed in the database, as the one who runs a Kapok would.
"""
