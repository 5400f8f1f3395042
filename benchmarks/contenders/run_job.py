"""Run the job in a folder as a worker does, and tell its seconds, imports left out: run_job.py FOLDER"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path

from modelpress.engine.job import read_job
from modelpress.worker import work

folder = Path(sys.argv[1])
job = read_job(folder)
import_module(job.run.partition(":")[0])
import_module(job.config.partition(":")[0])
started = time.perf_counter()
work(folder)
seconds = time.perf_counter() - started
if not (folder / "result.json").exists():
    sys.exit((folder / "error.json").read_text(encoding="utf-8"))
print(json.dumps({"seconds": round(seconds, 3)}))
