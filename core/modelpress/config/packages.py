"""`packaging_config`: what a finished model is packed into."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from modelpress.config.schema import PackagingSection
from modelpress.config.tree import Node
from modelpress.config.workflow import Packaging, Positions
from modelpress.errors import UserError
from modelpress.identity import named_path
from modelpress.problems import Problems


def read_packages(
    root: Node, folder: Path, positions: Positions, problems: Problems
) -> tuple[Packaging, ...]:
    """Those that are right: what is wrong with the shape of others was told."""
    node = root.mapping.get("packaging_config")
    if node is None or node.value is None:
        return ()
    passes = root.mapping.get("passes")
    if passes is None or not passes.mapping:
        message = "packaging_config packs what passes make, and there are no passes."
        problems.add(message, "Leave it out.", where=positions.locate("packaging_config"))
    found: dict[str, Packaging] = {}
    for index, item in enumerate([node] if node.is_mapping else node.items):
        path = "packaging_config" if node.is_mapping else f"packaging_config.{index}"
        try:
            section = PackagingSection.model_validate(item.plain())
        except ValidationError:
            continue
        file = _file(section, path, folder, positions, problems)
        is_zip = section.type == "Zipfile"
        target = f"{section.name}.zip" if is_zip else "Dockerfile"
        if target in found:
            problems.add(f"Two packages would be {target}.", "Leave one out.", where=positions.locate(path))
        found[target] = Packaging(is_zip, section.name, section.base_image or "", file)
    return tuple(found.values())


def _file(
    section: PackagingSection, path: str, folder: Path, positions: Positions, problems: Problems
) -> Path | None:
    if section.requirements_file is None:
        return None
    where = positions.locate(f"{path}.requirements_file")
    try:
        file = named_path(section.requirements_file, folder)
    except UserError as error:
        problems.add(error.message, error.hint, where=where)
        return None
    if not file.is_file():
        problems.add(f"There is no file {section.requirements_file}.", f"It would be {file}.", where=where)
    return file
