"""Tokenize a file of rows, as one contender does it: tokenize_rows.py HOW FILE MODEL FOLDER.

HOW: `map` is datasets.map; `all` and `few` are modelpress's container, all samples or those of five steps.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from transformers import AutoTokenizer

COLUMNS = "{phrase} {tone}"
STEPS = 5
BATCH = 8


def by_map(file: str, tokenizer: object, folder: str) -> int:
    """Rows that datasets.map tokenized, in batches, the end token behind each."""
    import datasets

    rows = datasets.load_dataset("json", data_files=file, split="train", cache_dir=folder)
    end = tokenizer.eos_token

    def tokenize(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        texts = [
            COLUMNS.format(phrase=p, tone=t) + end
            for p, t in zip(batch["phrase"], batch["tone"], strict=True)
        ]
        return tokenizer(texts)

    done = rows.map(tokenize, batched=True, remove_columns=rows.column_names)
    return sum(map(len, done.select(range(3))["input_ids"])) and len(done)


def by_container(file: str, tokenizer: object, folder: str, limit: int | None, *, masked: bool) -> int:
    """Samples that are there to be taken by number."""
    from modelpress.api import DataContext
    from modelpress_plugins.huggingface.data_config import HuggingfaceOptions
    from modelpress_plugins.huggingface.source import open_huggingface

    pre = {"text_template": COLUMNS, "strategy": "line-by-line", "completion_only": masked}
    options = {
        "load_dataset_config": {"data_name": "json", "data_files": file, "split": "train"},
        "pre_process_data_config": pre,
    }
    samples = open_huggingface(HuggingfaceOptions.model_validate(options), DataContext(Path(folder))).samples(
        tokenizer, limit, 0 if limit else None
    )
    return samples[0].input_ids and len(samples)


def main() -> None:
    how, file, model, folder = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(model)
    started = time.perf_counter()
    if how == "map":
        rows = by_map(file, tokenizer, folder)
    else:
        limit = STEPS * BATCH if how == "few" else None
        rows = by_container(file, tokenizer, folder, limit, masked=how == "masked")
    print(json.dumps({"rows": rows, "inner_seconds": time.perf_counter() - started}))


main()
