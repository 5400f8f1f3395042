"""Is this installation sound, and what does this machine have? Facts and findings; nothing is imported,
nothing is asked of the network.

Each check takes what it looks at as an argument, so that a test can show it any machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

from modelpress.engine.cache import default_cache_folder
from modelpress.registry import BLOCK_VARIABLE, ONLY_VARIABLE, Registry
from modelpress.version import VERSION

Verdict = Literal["ok", "note", "warning", "broken"]

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "safetensors",
    "bitsandbytes",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnxruntime-genai-directml",
)

# The wheels of a family own the same folder: the one installed last overwrites the other, in part.
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime": (
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-directml",
        "onnxruntime-openvino",
        "onnxruntime-qnn",
        "onnxruntime-training",
        "ort-nightly",
        "ort-nightly-gpu",
        "ort-nightly-directml",
    ),
    "onnxruntime_genai": ("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml"),
}
_CPU_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
)
_LITTLE_DISK = 5 * 10**9
_LITTLE_MEMORY = 4 * 10**9


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. Only `broken` makes `modelpress doctor` fail."""

    area: str
    verdict: Verdict
    text: str
    hint: str = ""


def examine(registry: Registry) -> list[Finding]:
    """All checks on this machine."""
    versions = _distributions()
    distributions = {plugin.provider.name for plugin in registry.plugins} | {"modelpress"}
    return [
        Finding("modelpress", "ok", f"{VERSION}, Python {platform.python_version()} ({sys.prefix})"),
        check_libraries(versions),
        *(f for name in sorted(distributions) for f in check_extras(name, _requirements(name), versions)),
        *check_overlaps(versions),
        *check_plugins(registry),
        check_gpu(nvidia_gpus(), versions),
        check_cpu(cpu_features(), os.cpu_count() or 1),
        check_memory(psutil.virtual_memory().total, psutil.virtual_memory().available),
        check_disk("disk of the cache", default_cache_folder()),
        check_disk("disk here", Path.cwd()),
        *check_hub(os.environ),
    ]


def _distributions() -> dict[str, str]:
    """Every distribution that this Python has -> version; names as PyPI normalizes them."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        with suppress(Exception):  # a damaged one harms no other; check_plugins tells it where it matters
            found.setdefault(_normal(distribution.metadata["Name"]), distribution.version)
    return found


def check_libraries(versions: Mapping[str, str]) -> Finding:
    """Versions of what passes rest on."""
    found = [f"{name} {versions[name]}" for name in LIBRARIES if name in versions]
    if found:
        return Finding("libraries", "ok", ", ".join(found))
    return Finding(
        "libraries",
        "note",
        "none of the libraries that do the work is installed: list, validate and plan only",
        "pip install 'modelpress[cpu]' (or [gpu], [directml])",
    )


def check_extras(
    distribution: str, requirements: Iterable[str], versions: Mapping[str, str]
) -> list[Finding]:
    """Whether each extra of a distribution is complete: installed, and new enough."""
    by_extra = parse_extras(requirements)
    findings = []
    for extra in by_extra:
        wanted = _flatten(extra, by_extra, _normal(distribution))
        lacking = [text for name, least in wanted if (text := _lack(name, least, versions))]
        area = f"extra {extra}" if distribution == "modelpress" else f"extra {distribution}[{extra}]"
        if lacking:
            some = len(lacking) < len(wanted)
            text = f"{'incomplete' if some else 'not installed'}: {', '.join(lacking)}"
            rivals = [rival for name, _ in wanted for rival in _rivals(name, versions)]
            hint = f"pip install '{distribution}[{extra}]'"
            if rivals:
                hint = f"only in an environment of its own: it cannot be beside {', '.join(rivals)}"
            findings.append(Finding(area, "note", text, hint))
        else:
            findings.append(Finding(area, "ok", "complete"))
    return findings


def _rivals(name: str, versions: Mapping[str, str]) -> list[str]:
    """Installed wheels that a wheel must not be installed over."""
    family = next((family for family in _FAMILIES.values() if name in family), ())
    return [other for other in family if other != name and other in versions]


Wanted = tuple[str, str]
"""(name of a distribution with its extras, least version or '')"""


def parse_extras(requirements: Iterable[str]) -> dict[str, list[Wanted]]:
    """Requirement strings of the metadata -> extra -> what it wants. Others than of extras are left out."""
    found: dict[str, list[Wanted]] = {}
    for requirement in requirements:
        text, _, marker = requirement.partition(";")
        extra = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker)
        name = re.match(r"\s*([A-Za-z0-9._-]+(?:\[[^\]]*\])?)", text)
        if extra and name:
            least = re.search(r">=\s*([0-9][0-9a-z.]*)", text)
            found.setdefault(extra[1], []).append((name[1], least[1] if least else ""))
    return found


def _flatten(extra: str, by_extra: Mapping[str, Sequence[Wanted]], own: str) -> list[Wanted]:
    """What an extra wants, with `own[other]` replaced by what that other extra wants."""
    found: list[Wanted] = []
    for name, least in by_extra.get(extra, ()):
        base, _, inner = name.rstrip("]").partition("[")
        if _normal(base) == own:
            for other in inner.split(","):
                found += _flatten(other.strip(), by_extra, own) if other.strip() != extra else []
        else:
            found.append((_normal(base), least))
    return found


def _lack(name: str, least: str, versions: Mapping[str, str]) -> str:
    """`name` when it is absent, `name 1.0 (needs 1.2)` when it is too old; empty when all is well."""
    if name not in versions:
        return name
    too_old = bool(least) and _release(versions[name]) < _release(least)
    return f"{name} {versions[name]} (needs {least})" if too_old else ""


def _release(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in release[0].split(".")] if release else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()  # 2.0 is 2
    return tuple(numbers)


def check_overlaps(versions: Mapping[str, str]) -> list[Finding]:
    """Wheels that were installed over each other."""
    findings = []
    for package, family in _FAMILIES.items():
        found = [name for name in family if name in versions]
        if len(found) > 1:
            findings.append(
                Finding(
                    f"wheels of {package}",
                    "broken",
                    " and ".join(f"{name} {versions[name]}" for name in found) + " overwrite each other",
                    f"pip uninstall -y {' '.join(found)}, then install the one that you want",
                )
            )
    return findings


def check_plugins(registry: Registry) -> list[Finding]:
    """How many work, and each that does not."""
    names = ", ".join(plugin.name for plugin in registry.plugins)
    findings = [
        Finding("plugins", "ok" if names else "broken", names or "none found: install modelpress again")
    ]
    for broken in registry.broken:
        findings.append(
            Finding(
                f"plugin {broken.name}" if broken.name else "distribution",
                "broken",
                f"{'from ' if broken.name else ''}{broken.distribution}: {broken.error}",
                _remedy(broken.name, broken.distribution),
            )
        )
    for plugin in registry.slow:
        text = f"its import takes {plugin.seconds:.1f} s, and every command waits for it"
        findings.append(
            Finding(f"plugin {plugin.name}", "warning", text, _remedy(plugin.name, plugin.provider.name))
        )
    if registry.blocked:
        kept_out = f"{BLOCK_VARIABLE} or {ONLY_VARIABLE} keeps out {', '.join(registry.blocked)}"
        findings.append(Finding("plugins", "note", kept_out))
    return findings


def _remedy(plugin: str, distribution: str) -> str:
    if distribution == "modelpress":
        return "install modelpress again"
    without = f", or set {BLOCK_VARIABLE}={plugin}" if plugin else ""
    return f"update or remove {distribution}{without}"


def nvidia_gpus() -> list[str]:
    """`NVIDIA H100, 81559 MiB, 570.1` (name, memory, driver) per GPU, by the driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=15, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def check_gpu(gpus: Sequence[str], versions: Mapping[str, str]) -> Finding:
    """The GPUs, and whether torch could use them."""
    if not gpus:
        return Finding("GPU", "note", "no NVIDIA GPU is seen; work runs on the CPU")
    text = "; ".join(gpus)
    if versions.get("torch", "").endswith("+cpu"):
        return Finding("GPU", "warning", f"{text}, but torch {versions['torch']} is built for the CPU only",
                       "install torch from the CUDA index, then 'modelpress[gpu]'")  # fmt: skip
    return Finding("GPU", "ok", text)


def cpu_features() -> frozenset[str]:
    """Instruction sets that matter for int4 and bf16, by their Linux names; empty where there are none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    line = next((ln for ln in text.splitlines() if ln.lower().startswith(("flags", "features"))), "")
    return frozenset(line.partition(":")[2].split()) & frozenset(_CPU_FEATURES)


def check_cpu(features: frozenset[str], cores: int) -> Finding:
    """Cores and instruction sets, and the fault of int4 kernels on CPUs that stop at AVX2."""
    named = ", ".join(name for name in _CPU_FEATURES if name in features) or "features not known here"
    text = f"{cores} cores, {platform.machine()}, {named}"
    if "avx2" in features and not any(name.startswith(("avx512", "avx_vnni", "amx")) for name in features):
        return Finding(
            "CPU",
            "note",
            f"{text} (AVX2 only)",
            "onnxruntime decodes asymmetric int4 with accuracy_level 4 wrongly on such CPUs "
            "(microsoft/onnxruntime#29853); ModelBuilder tests its result for that",
        )
    return Finding("CPU", "ok", text)


def check_memory(total: int, available: int) -> Finding:
    """Bytes of memory."""
    text = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB free"
    return Finding("memory", "warning" if available < _LITTLE_MEMORY else "ok", text)


def check_disk(area: str, folder: Path) -> Finding:
    """Free space on the volume that the folder is, or would be, on."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    text = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free, {folder}"
    if usage.free < _LITTLE_DISK:
        return Finding(
            area, "warning", text, "`modelpress cache gc` makes room; --cache-dir puts it elsewhere"
        )
    if not os.access(there, os.W_OK):
        return Finding(area, "warning", f"{text} (not writable)", "set MODELPRESS_CACHE, or pass --cache-dir")
    return Finding(area, "ok", text)


def check_hub(environment: Mapping[str, str]) -> list[Finding]:
    """Where the Hugging Face cache is, whether the hub may be asked, whether there is a token (not which)."""
    home = _hub_home(environment)
    cache = Path(environment.get("HF_HUB_CACHE") or home / "hub").expanduser()
    models = len(list(cache.glob("models--*"))) if cache.is_dir() else 0
    token = bool(environment.get("HF_TOKEN")) or (home / "token").is_file()
    text = f"{cache}: {models} models; {'a token is set' if token else 'no token'}"
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if _is_on(environment.get(name))]
    findings = [Finding("Hugging Face", "ok", text)]
    if offline:
        findings.append(Finding("Hugging Face", "note", f"offline, by {' and '.join(offline)}"))
    return findings


def _hub_home(environment: Mapping[str, str]) -> Path:
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(environment.get("HF_HOME") or Path(caches, "huggingface")).expanduser()


def _is_on(value: str | None) -> bool:
    return (value or "").upper() in ("1", "ON", "YES", "TRUE")


def _requirements(distribution: str) -> Sequence[str]:
    try:
        return metadata.requires(distribution) or ()
    except metadata.PackageNotFoundError:
        return ()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
