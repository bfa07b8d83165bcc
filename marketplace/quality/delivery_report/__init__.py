"""The quality report of a delivery: evidence, the figures computed from it alone, and the pages that show them."""
