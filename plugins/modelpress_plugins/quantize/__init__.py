"""Quantize the weights of a Hugging Face model to 2, 4 or 8 bits, layer by layer."""
MODELPRESS_API = 1
