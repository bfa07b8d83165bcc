"""Control rules as data, in Toloka's manner: a collector counts, conditions compare, an action follows, for a time."""
