"""Merge with PEFT, and tell its seconds, imports left out: peft_merge.py BASE ADAPTER OUT"""

import json
import sys
import time

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, out = sys.argv[1:]
started = time.perf_counter()
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="auto"), adapter)
model.merge_and_unload().save_pretrained(out)
AutoTokenizer.from_pretrained(base).save_pretrained(out)
print(json.dumps({"seconds": round(time.perf_counter() - started, 3)}))
