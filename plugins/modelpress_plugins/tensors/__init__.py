"""Bytes of a checkpoint as tensors, work on them in ordered threads, memory given back: shared, no plugin."""
