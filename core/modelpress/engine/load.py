"""Open a finished model from its folder: an output folder, an artifact, or a bare model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelpress.artifact import MANIFEST, Artifact, Meta, open_artifact, refuse_links
from modelpress.errors import PluginError, UserError
from modelpress.identity import require_utf8
from modelpress.opened import LoadedModel, Tokenizer
from modelpress.registry import Registered, Registry
from modelpress.specs import FormatSpec

_PLAIN_KWARGS = ("torch_dtype", "dtype", "device_map")


def find_artifact(folder: Path, registry: Registry, *, trust_remote_code: bool = False) -> Artifact:
    """The artifact that a folder holds. Raises UserError saying what was looked for.

    An output folder of a run stands for the `model` in it. A folder without a manifest is asked of each
    format's check in turn.

    trust_remote_code: whether Python files in the folder may be run. What a manifest says of it does not
    count: it came with the folder.
    """
    require_utf8(folder)
    if not folder.exists():
        raise UserError(
            f"There is no file or folder {folder}.", "Give the folder of a model, or a run's output folder."
        )
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, expected the folder of a model.")
    for candidate in (folder, folder / "model"):
        if (candidate / MANIFEST).exists():
            refuse_links(candidate)
            return _told_by_a_stranger(open_artifact(candidate), trust_remote_code)
    reasons = []
    for entry in registry.all(FormatSpec):
        try:
            entry.call(entry.spec.check, folder)
        except (UserError, PluginError) as error:
            reasons.append(f"{entry.spec.name}: {error.message.rstrip('.')}")
            continue
        refuse_links(folder)
        return Artifact(folder, entry.spec.name, key="", meta=Meta(trust_remote_code=trust_remote_code))
    raise UserError(
        f"{folder} holds no model of a known format ({'; '.join(reasons)}).",
        "Give the folder of a model, or a run's output folder.",
    )


def _told_by_a_stranger(artifact: Artifact, trust: bool) -> Artifact:
    """The artifact without what its manifest says on what is to be run or fetched."""
    base = _told_by_a_stranger(artifact.base, trust) if artifact.base else None
    kwargs = {name: value for name, value in artifact.meta.load_kwargs.items() if name in _PLAIN_KWARGS}
    return replace(
        artifact, base=base, meta=replace(artifact.meta, trust_remote_code=trust, load_kwargs=kwargs)
    )


def format_of(artifact: Artifact, registry: Registry) -> Registered[FormatSpec]:
    """The format of an artifact. Raises UserError when no plugin knows it."""
    return registry.find(FormatSpec, artifact.format)


def load_model(
    folder: Path, registry: Registry, device: str = "cpu", *, trust_remote_code: bool = False
) -> LoadedModel:
    """Open the model in a folder in its runtime. trust_remote_code: see find_artifact."""
    artifact = find_artifact(folder, registry, trust_remote_code=trust_remote_code)
    entry = format_of(artifact, registry)
    if not entry.spec.load:
        raise UserError(f"A model of format {artifact.format} cannot be run.")
    return entry.call(entry.spec.load, artifact, device)


def load_tokenizer(folder: Path, registry: Registry) -> Tokenizer:
    """The tokenizer that lies with the model in a folder."""
    artifact = find_artifact(folder, registry)
    entry = format_of(artifact, registry)
    if not entry.spec.tokenizer:
        raise UserError(f"A model of format {artifact.format} has no tokenizer.")
    return entry.call(entry.spec.tokenizer, artifact)
