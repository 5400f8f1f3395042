"""Sizes and times as people write them."""

from __future__ import annotations

import re

from modelpress.errors import UserError

_UNITS = {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86400}
_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([SMHD]?)\s*", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)


def parse_size(size: int | str) -> int:
    """Bytes from 5000000000, "5GB" or "5g" (10^9), "5GiB" (2^30), "500 MB". Raises UserError otherwise."""
    match = _SIZE.fullmatch(str(size))
    value = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].upper()]) if match else 0
    if value <= 0:
        raise UserError(f"{size!r} is no size.", 'Write bytes as a number, or text like "500MB" or "20GB".')
    return value


def parse_time(time: float | str) -> float:
    """Seconds from 90, "90s", "30m", "2.5h", "1d". Raises UserError otherwise."""
    match = _TIME.fullmatch(str(time))
    value = float(match[1]) * _UNITS[match[2].upper()] if match else 0
    if value <= 0:
        raise UserError(f"{time!r} is no time.", 'Write seconds as a number, or text like "30m" or "2h".')
    return value
