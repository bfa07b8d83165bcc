"""The database's history: one intent each in versions/, batched and restartable data moves in backfills/."""
