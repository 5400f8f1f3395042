"""An artifact: a model on disk, a folder with a manifest; made once and never changed in place.

The manifest (`modelpress.json`, beside the model's own files) says what the folder is and lists every
file with size and digest, so that a file that was cut or edited later is noticed; a seal notices damage to
the manifest itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from modelpress.errors import UserError
from modelpress.files import digest_file as digest_file
from modelpress.files import flush_to_disk, sealed, unsealed, write_whole
from modelpress.json_types import JSONValue
from modelpress.machine import refusal
from modelpress.records import from_json, to_json

MANIFEST = "modelpress.json"
MANIFEST_VERSION = 3


@dataclass(frozen=True, slots=True)
class Meta:
    """Small facts that travel with a model, as JSON values.

    task:            `text-generation`; empty when nothing says so
    prompt_template: the text that a fine-tuned model expects around a phrase (one `{column}` stands for it)
    trust_remote_code: whether the user lets the model's own Python files run
    load_kwargs:     what the user wants from_pretrained to be given
    tokenizer_path:  the folder of the tokenizer where that lies apart (MLflow); absolute
    extra:           more that a pass tells those after it (`quantization`, `precision`)
    """

    task: str = ""
    prompt_template: str = ""
    trust_remote_code: bool = False
    load_kwargs: Mapping[str, JSONValue] = field(default_factory=dict)
    tokenizer_path: str = ""
    extra: Mapping[str, JSONValue] = field(default_factory=dict)

    def after(self, before: Meta) -> Meta:
        """With what holds for whatever is made from a model, where this does not say otherwise."""
        return replace(
            self,
            task=self.task or before.task,
            prompt_template=self.prompt_template or before.prompt_template,
        )


NO_META = Meta()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model on disk.

    path:   its folder
    format: e.g. `hf-model`
    key:    the cache key of the step that made it, or `content:…`/`hub:…` for an input
    base:   the model that an adapter belongs to; None otherwise
    """

    path: Path
    format: str
    key: str
    base: Artifact | None = None
    meta: Meta = NO_META

    @property
    def size(self) -> int:
        """Bytes of all files, the manifest left out, the base not counted."""
        return sum(p.stat().st_size for p in artifact_files(self.path))


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the manifest keeps of one file. digest is XXH3-128, 32 hex digits."""

    size: int
    digest: str


def artifact_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder but the manifest, in a stable order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            yield path


def file_facts(folder: Path, digest: Callable[[Path], str] = digest_file) -> dict[str, FileFacts]:
    """Size and digest of each file below the folder, by path with slashes."""
    return {
        path.relative_to(folder).as_posix(): FileFacts(path.stat().st_size, digest(path))
        for path in artifact_files(folder)
    }


def links_leading_out(folder: Path, *, hidden: bool = False) -> list[Path]:
    """Links below a folder that lead out of it: what they lead to is not the model's, and would be copied
    with it. The blobs of a hub's cache are its snapshot's own (`models--org--name/{snapshots/X, blobs}`).

    hidden: those in hidden folders (`.venv`) too, which are no part of a model
    """
    home = folder.resolve()
    own = [home]
    if home.parent.name == "snapshots":
        own.append(home.parent.parent / "blobs")
    found = []
    for path in sorted(folder.rglob("*")):
        part = hidden or not any(name.startswith(".") for name in path.relative_to(folder).parts[:-1])
        if part and path.is_symlink() and not any(path.resolve().is_relative_to(root) for root in own):
            found.append(path)
    return found


def refuse_links(folder: Path, *, hidden: bool = False) -> None:
    """Raises UserError that names a link that leads out of a model's folder; see links_leading_out."""
    for link in links_leading_out(folder, hidden=hidden):
        raise UserError(
            f"{link} is a link that leads out of the model's folder, to {link.resolve()}.",
            "Put the file itself in its place, if it belongs to the model.",
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest of an artifact says. files: by path, with slashes."""

    format: str
    key: str
    base: Artifact | None
    meta: Meta
    made_by: Mapping[str, JSONValue]
    files: Mapping[str, FileFacts]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(facts.size for facts in self.files.values())


def write_manifest(
    artifact: Artifact,
    made_by: Mapping[str, JSONValue] | None = None,
    digest: Callable[[Path], str] = digest_file,
) -> None:
    """Write the manifest of a finished folder. Every file is flushed to disk and hashed before it."""
    for path in artifact_files(artifact.path):
        flush_to_disk(path)
    files = {name: asdict(facts) for name, facts in file_facts(artifact.path, digest).items()}
    record = to_json(artifact)
    del record["path"]
    document = {"modelpress": MANIFEST_VERSION, **record, "made_by": dict(made_by or {}), "files": files}
    write_whole(artifact.path / MANIFEST, sealed(document))


def read_manifest(folder: Path) -> Manifest:
    """Raises UserError when the folder has none, or one that is damaged or of another version."""
    try:
        document = unsealed((folder / MANIFEST).read_bytes())
        if document.pop("modelpress") != MANIFEST_VERSION:
            raise ValueError(f"this modelpress reads version {MANIFEST_VERSION} of it")
        return from_json(Manifest, document)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} is not an artifact: it has no {MANIFEST}.") from None
    except OSError as error:
        raise UserError(*refusal(f"{folder / MANIFEST} cannot be read", error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder / MANIFEST} cannot be read: {error}.") from None


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, by its manifest."""
    manifest = read_manifest(folder)
    return Artifact(folder, manifest.format, manifest.key, manifest.base, manifest.meta)


def damaged_files(folder: Path, digest: Callable[[Path], str] = digest_file) -> list[str]:
    """What differs from the manifest, a line each; empty when all is well.

    digest: how the digest of a file is had: a DigestMemo reads only what may have changed.
    """
    files = read_manifest(folder).files
    found = [
        f"{name}: {told}" for name, facts in files.items() if (told := _damage(folder / name, facts, digest))
    ]
    present = {p.relative_to(folder).as_posix() for p in artifact_files(folder)}
    found += [f"{name}: not in the manifest" for name in sorted(present - set(files))]
    return found


def _damage(path: Path, facts: FileFacts, digest: Callable[[Path], str]) -> str:
    try:
        size = path.stat().st_size
        if size != facts.size:
            return f"{size} bytes, expected {facts.size}"
        return "" if digest(path) == facts.digest else "its content has changed"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
