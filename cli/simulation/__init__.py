"""The seeded fault simulator of `kapok simulate`: the real saga, the real sandbox, a real PostgreSQL, and bad luck.

`faults` lists what can go wrong and draws it, `world` runs jobs as the workers do, `scenario` is one seed's story,
`checks` compares Kapok's books with the provider's, `mutants` are guards taken away that the checks must notice.
The method, faults drawn from a seed and checked at rest, is that of deterministic simulation testing (TigerBeetle's
VOPR, FoundationDB); here the database is real, so the order of two workers is drawn, and their races are not.
"""
