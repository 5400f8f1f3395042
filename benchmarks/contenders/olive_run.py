"""Run a workflow with Olive, and tell its seconds, imports left out: olive_run.py CONFIG"""

import json
import sys
import time

from olive.workflows import run

started = time.perf_counter()
run(sys.argv[1])
print(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))
