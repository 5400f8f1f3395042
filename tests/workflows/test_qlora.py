"""QLoRA, merged and pressed to int4: a chain that is supported, whatever older documents say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.mark.parametrize("base", ["auto", "original", "dequantized"])
def test_qlora_then_merge_then_int4(small, cli, tmp_path: Path, base: str) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    passes = {
        "qlora": {**small.lora(), "type": "QLoRA", "double_quant": True},
        "merge": {"type": "MergeAdapterWeights", "merge_base": base},
        "builder": {"type": "ModelBuilder", "precision": "int4"},
    }
    # The three share what comes before the merge.
    done = cli("run", small.write(passes=passes, cache_dir=str(tmp_path.parent / "qlora-cache")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "output" / "model" / "genai_config.json").exists()
    steps = json.loads((tmp_path / "output" / "run.json").read_text())["steps"]
    assert [step["type"] for step in steps] == ["QLoRA", "MergeAdapterWeights", "ModelBuilder"]
    if base == "auto":
        assert "4-bit" in done.stdout or "dequantized" in done.stdout, done.stdout
