"""Train with modelpress, keeping snapshots: lora_modelpress.py WORKFLOW CACHE SNAPSHOTS EVERY LIMIT"""

import sys
from pathlib import Path

from snapshots import keep_snapshots

import modelpress

workflow, cache, folder, every, limit = sys.argv[1:]
keep_snapshots(Path(folder), int(every), float(limit))
modelpress.run(workflow, cache_dir=cache, offline=True, in_process=True)
