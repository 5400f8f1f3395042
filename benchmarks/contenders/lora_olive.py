"""Train with Olive, keeping snapshots: lora_olive.py WORKFLOW SNAPSHOTS EVERY LIMIT"""

import sys
from pathlib import Path

from olive.workflows import run
from snapshots import keep_snapshots

workflow, folder, every, limit = sys.argv[1:]
keep_snapshots(Path(folder), int(every), float(limit))
run(workflow)
