"""Importing uploaded data: readers of JSONL, CSV and ZIP, and the job that turns their rows into items.

Readers are blocking generators over a file, run in a thread; they yield rows and bad rows, and hold one row at a time.
"""
