"""The job edge: hands outbox rows to arq, runs their handlers, one job one transaction; nothing else imports arq."""
