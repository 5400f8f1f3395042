"""Measure Hugging Face models on held-out data, with modelpress's own metrics, whoever made the models.

evaluate.py WHAT DATA.json BASE FOLDER…

WHAT: accuracy, perplexity, or both with a comma. DATA.json: a data config of a workflow. A folder with an
adapter is opened on BASE. Tells a JSON object: folder -> metric -> value.
"""

import json
import math
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from modelpress.api import Artifact, DataContext, DataSource, FormatSpec, TextModel
from modelpress.registry import Registry
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions
from modelpress_plugins.huggingface.source import open_huggingface
from modelpress_plugins.metrics.accuracy import count_right
from modelpress_plugins.metrics.perplexity import loss_of, unpadded

_BATCH = 32


def main(what: str, data_file: str, base: str, *folders: str) -> None:
    metrics = {name: {"accuracy": accuracy, "perplexity": perplexity}[name] for name in what.split(",")}
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = open_huggingface(read_options(data_file), DataContext(Path(scratch)))
        for folder in folders:
            with closing(load(Path(folder), Path(base))) as model:
                found[folder] = {name: metric(model, data) for name, metric in metrics.items()}
    print(json.dumps(found))


def read_options(data_file: str) -> HuggingfaceOptions:
    config = json.loads(Path(data_file).read_text(encoding="utf-8"))
    return HuggingfaceOptions.parse({k: v for k, v in config.items() if k not in ("name", "type")})


def load(folder: Path, base: Path) -> Any:
    model = Artifact(folder, "hf-model", "")
    if (folder / "adapter_config.json").exists():
        model = Artifact(folder, "hf-adapter", "", base=Artifact(base, "hf-model", ""))
    entry = Registry.load().find(FormatSpec, model.format)
    return entry.resolve(entry.spec.load)(model, "cpu")


def accuracy(model: TextModel, data: DataSource) -> float:
    exchanges = list(data.exchanges(model.tokenizer))
    batches = [exchanges[start : start + _BATCH] for start in range(0, len(exchanges), _BATCH)]
    return sum(count_right(model, batch, 8) for batch in batches) / len(exchanges)


def perplexity(model: TextModel, data: DataSource) -> float:
    samples = data.samples(model.tokenizer)
    losses = [loss_of(model, unpadded(sample), model.context_length) for sample in samples]
    return math.exp(sum(loss for loss, _ in losses) / sum(count for _, count in losses))


main(*sys.argv[1:])
