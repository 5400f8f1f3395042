"""Shell completion: click's own, with commands and the names that plugins bring."""

from __future__ import annotations

import pytest


def complete(command, words: str) -> list[str]:
    """What bash would be told after these words; the last may be begun only."""
    typed = words.split(" ")
    done = command(_MODELPRESS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(typed) - 1))
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line.startswith("plain,")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("modelpress pas", ["passes"]),
        ("modelpress passes show mer", ["MergeAdapterWeights"]),
        ("modelpress passes schema QL", ["QLoRA"]),
        ("modelpress formats show ort", ["ort-genai"]),
        ("modelpress quantize model --algorithm h", ["hqq"]),
        ("modelpress evaluate model --metric perp", ["perplexity"]),
        ("modelpress plugins check quan", ["quantize"]),
        ("modelpress run --qu", ["--quiet"]),
        ("modelpress passes show no-such", []),
    ],
)
def test_a_shell_completes(command, words: str, expected: list[str]) -> None:
    assert complete(command, words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(command, shell: str) -> None:
    done = command(_MODELPRESS_COMPLETE=f"{shell}_source")
    assert done.returncode == 0
    assert "_MODELPRESS_COMPLETE" in done.stdout
