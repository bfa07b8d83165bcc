"""The sandbox provider: a stateful payment provider that moves no real money, with tables of its own.

It plays a remote system: reached only through `gateway.Gateway`, it works in short sessions of its own, and its news
come back as signed webhooks to our own endpoint. Scripted outcomes are in `magic.py`, faults for tests in `faults.py`.
"""
