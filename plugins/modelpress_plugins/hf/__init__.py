"""The one home of "a Hugging Face model folder": config, tokenizer, files, families, and how it is opened.

A shared room, not a plugin: every plugin may import it.
"""
