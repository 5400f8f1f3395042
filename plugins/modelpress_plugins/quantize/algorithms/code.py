"""From a row to the code behind it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from modelpress_plugins.quantize.algorithms.table import ROWS, Row
from modelpress_plugins.quantize.config import QuantizerConfig


def code_of(row: Row) -> Callable[..., Any]:
    """Imports the algorithm's module. What it gives when called: see `Row.code`."""
    module, _, attribute = row.code.partition(":")
    code: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return code


def own_options(config: QuantizerConfig) -> Mapping[str, bool | int | float]:
    """Values of the options that this algorithm alone has."""
    return {option.name: getattr(config, option.name) for option in config.row.options}


def row_of(key: str) -> Row:
    """By what `config.json` calls it."""
    return next(row for row in ROWS if row.key == key)
