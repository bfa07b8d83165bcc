"""`python -m cli` is `kapok`, for a command that starts another."""

from cli.main import app

app()
