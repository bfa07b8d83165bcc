"""Job handlers, one module a subdomain: each says which outbox kind it handles and calls one service function."""
