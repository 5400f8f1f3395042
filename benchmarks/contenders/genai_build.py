"""Build int4 with the builder of onnxruntime-genai, and tell its seconds: genai_build.py MODEL OUT SCRATCH"""

import json
import sys
import time

from onnxruntime_genai.models.builder import create_model

model, out, scratch = sys.argv[1:]
started = time.perf_counter()
create_model(None, model, out, "int4", "cpu", scratch, hf_token="false", hf_remote="false")
print(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))
