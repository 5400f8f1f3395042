"""`python -m modelpress`: the same as the command `modelpress`."""

from __future__ import annotations

import sys

from modelpress.cli import main

if __name__ == "__main__":
    sys.exit(main())
