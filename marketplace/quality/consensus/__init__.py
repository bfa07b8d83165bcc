"""Consensus: from all accepted answers of a task to its label and the probability that the label is right.

`engine.ConsensusEngine` is the interface; `vote.WeightedVote` is the engine in use. Pure and deterministic: the order
of answers does not matter, and ties are split by a hash of the task, never by the order of the classes.
"""
