"""Consensus of choices: a Bayesian Dawid–Skene model whose worker matrices lean on the crowd's and on one ability each.

`fit.fit_choice` fits codes (`votes.Votes`), `online.task_posterior` gives one task its posterior from a stored model,
`kind.ChoiceModel` speaks the market's language (`consensus.engine.KindModel`). Pure and deterministic.
"""
