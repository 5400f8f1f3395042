"""The version of modelpress: the one in `pyproject.toml`."""

VERSION = "0.1.0"
