"""PostgreSQL and Valkey from wheels, under our own launcher.

The wheels only carry the programs. Their own launchers open every parent folder to everybody when run as root and trust
every local user; this one drops root, touches nothing outside the data folder, and asks for a password.
"""
