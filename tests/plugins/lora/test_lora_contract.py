"""The contract of passes, for each adapter pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelpress.api import Artifact, Sample
from modelpress.testing import PassContract, input_artifact, make_tiny_model


class Counting:
    """A data source: 8 rows of ascending ids."""

    name = "counting"
    prompt_template: str | None = None

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> Iterator[Sample]:
        for row in range(8):
            ids = list(range(3 + row, 20 + 2 * row))
            yield Sample(ids, ids)


class AdapterContract(PassContract):
    golden = Path(__file__).parent / "golden"
    data: ClassVar[dict[str, Any]] = {"train": Counting()}
    # Set for the time of the run, so that a GPU is exact.
    environment: ClassVar[frozenset[str]] = frozenset({"CUBLAS_WORKSPACE_CONFIG"})
    options: ClassVar[dict[str, Any]] = {
        "train_data_config": "data",
        "r": 4,
        "training_args": {"max_steps": 2, "per_device_train_batch_size": 2},
    }

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestLoRA(AdapterContract):
    pass_name = "LoRA"


class TestDoRA(AdapterContract):
    pass_name = "DoRA"


class TestLoHa(AdapterContract):
    pass_name = "LoHa"


class TestLoKr(AdapterContract):
    pass_name = "LoKr"
    # Factors so large that weights, which are planned to the byte, outweigh headers and configuration.
    options: ClassVar[dict[str, Any]] = {**AdapterContract.options, "r": 16, "decompose_factor": 2}


class TestQLoRA(AdapterContract):
    pass_name = "QLoRA"
    golden = None  # products with 4-bit weights round as the processor has it: a step of Adam turns with them

    @pytest.fixture(autouse=True)
    def _needs_bitsandbytes(self) -> None:
        pytest.importorskip("bitsandbytes")
