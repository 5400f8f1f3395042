"""Blocks, codes and scales of quantized weights, and the stream that writes them: shared, no plugin.

No algorithm lives here: a quantizer is given as a function.
"""
