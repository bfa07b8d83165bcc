"""The manual rail: payouts as a signed file for the operator's bank, results read back from the bank's file.

For payees that no provider reaches (money.md §1). To the saga it is one more provider behind `gateway.Gateway`: a
transfer earmarks money of the rail, the object of a payout is a line that waits for a file, and what the bank says of
a line comes by the same inbox as a provider's webhook. Owns the tables `bank_file_*`.
"""
