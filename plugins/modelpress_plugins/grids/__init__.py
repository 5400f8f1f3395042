"""Blocks, codes and scales of quantized weights, and the stream that writes them: shared, no plugin.

The rounders that need no data lie here too: checkpoints and ONNX graphs are quantized with the same.
What needs data is given as a function.
"""
