"""Quantize with llm-compressor's GPTQ and save the weights back as float: llmcompressor_gptq.py MODEL DATA OUT

DATA: JSON rows of {text}. Tells its seconds, imports left out. Its own layout is read by neither of the others,
hence the float weights, which hold just what four bits can.
"""

import json
import sys
import time

from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from transformers import AutoModelForCausalLM, AutoTokenizer

model_path, data, out = sys.argv[1:]
started = time.perf_counter()
tokenizer = AutoTokenizer.from_pretrained(model_path)
with open(data, encoding="utf-8") as file:
    rows = [tokenizer(row["text"], truncation=True, max_length=128) for row in json.load(file)]
model = AutoModelForCausalLM.from_pretrained(model_path, dtype="float32")
weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
group = {"all": {"targets": ["Linear"], "weights": weights}}
oneshot(
    model=model,
    dataset=Dataset.from_list(
        [{"input_ids": r["input_ids"], "attention_mask": r["attention_mask"]} for r in rows]
    ),
    recipe=GPTQModifier(config_groups=group, ignore=["lm_head"]),
    num_calibration_samples=len(rows),
    max_seq_length=128,
)
seconds = time.perf_counter() - started
plain = AutoModelForCausalLM.from_pretrained(model_path, dtype="float32")
for name, module in model.named_modules():
    if scheme := getattr(module, "quantization_scheme", None):
        target = plain.get_submodule(name)
        rounded = fake_quantize(module.weight, module.weight_scale, module.weight_zero_point, scheme.weights)
        target.weight.data = rounded.detach().float()
plain.save_pretrained(out)
tokenizer.save_pretrained(out)
print(json.dumps({"seconds": round(seconds, 3)}))
