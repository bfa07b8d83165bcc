"""How much workers agree, as figures for reports (never gates): classes and numbers, and answers that are alike.

`measure.agreement_of` for classes and numbers; `similar.similarity_of` for any kind with a similarity of two answers.
"""
