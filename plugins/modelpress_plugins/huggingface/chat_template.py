"""A chat template as users give it: a name, the template itself, or a file that holds it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from modelpress.api import UserError, refusal
from modelpress_plugins.hf.chat_names import NAMED_TEMPLATES

_JINJA = re.compile(r"\{\{|\{%")


def template_text(given: str) -> str:
    """The template in Jinja. Raises UserError for what is none: every row would be that very text.

    given: a name, a template, or a file's path; in JSON it is under `chat_template`, as tokenizers write it
    """
    if given in NAMED_TEMPLATES:
        return NAMED_TEMPLATES[given]
    is_file = os.path.isfile(given)
    text = _read(Path(given)) if is_file else given
    if not _JINJA.search(text):
        what = f"The file {given} holds" if is_file else f"{given!r} is"
        raise UserError(
            f"{what} no chat template: every row would be this very text.",
            "Write true for the model's own, the template itself in Jinja, the file that it is in "
            f"(relative paths count from the workflow's folder), or a name: {', '.join(NAMED_TEMPLATES)}.",
        )
    return text


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text) if file.suffix == ".json" else {"chat_template": text}
    except UnicodeDecodeError:
        raise UserError(f"The chat template {file} is not UTF-8 text.", "Save the file as UTF-8.") from None
    except OSError as error:
        raise UserError(*refusal(f"The chat template {file} cannot be read", error)) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"The chat template {file} is not valid JSON: {error}.") from None
    template = found.get("chat_template") if isinstance(found, dict) else None
    if not isinstance(template, str):
        raise UserError(
            f"{file} has no text under 'chat_template'.", "Name the file with the template itself."
        )
    return template
