"""The check of a library: may it ask its server?"""

from __future__ import annotations

import os
from collections.abc import Sequence

from modelpress.api import Finding


def look() -> Sequence[Finding]:
    offline = os.environ.get("EXAMPLE_LETTERS_OFFLINE") == "1"
    return [Finding("example letters", "ok", "offline" if offline else "may ask their server")]
