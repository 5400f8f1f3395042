"""The algorithms, one module each; `table.py` has a row for each."""
