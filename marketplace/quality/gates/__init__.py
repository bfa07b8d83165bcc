"""The gates: pure rules that a submitted bundle must pass, one small module each, run in the order of the gate set.

A gate gets the facts of one submission and its own parameters, and answers with a figure, the bound it was held
against, and whether the bundle passes, goes back for rework, or is rejected.
"""
