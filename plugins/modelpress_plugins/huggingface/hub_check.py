"""What `modelpress doctor` tells of the Hugging Face hub: its cache, whether it may be asked, and whether
there is a token (not which)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from modelpress.api import Finding
from modelpress_plugins.huggingface.hub_cache import hub_cache, hub_home, offline_switches


def check() -> Sequence[Finding]:
    cache = hub_cache()
    models = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    token = bool(os.environ.get("HF_TOKEN")) or (hub_home() / "token").is_file()
    text = f"{cache}: {models} models; {'a token is set' if token else 'no token'}"
    findings = [Finding("Hugging Face", "ok", text)]
    if switches := offline_switches():
        findings.append(Finding("Hugging Face", "note", f"offline, by {' and '.join(switches)}"))
    return findings
