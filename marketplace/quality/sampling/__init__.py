"""Reviews by sample: how many items of a lot people look at, when they may stop, and what their findings prove.

`sprt` and `iso2859` are the pure arithmetic, `plans` puts both into one plan that is hashed before the first review,
and `lots`, `reviewing` and `queries` are the product: lots, blind double reviews, arbitration, and the accuracy that
reviews show.
"""
