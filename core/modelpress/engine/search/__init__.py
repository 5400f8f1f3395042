"""Searching: many candidates of a workflow that leaves something open, and the best of them."""
