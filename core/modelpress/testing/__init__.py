"""Tests that any plugin author can subclass."""
