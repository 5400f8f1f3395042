"""How an onnxruntime-genai folder is used, in Python and C#: for its card. Light."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from modelpress.api import Artifact, Usage
from modelpress_plugins.hf.prompt_code import CHAT_TEMPLATE, PromptCode, prompt_code
from modelpress_plugins.model_builder.check import read_config

_CPU = "CPUExecutionProvider"
_LONGEST = 1024
_PACKAGES = {
    _CPU: ("onnxruntime-genai", "Microsoft.ML.OnnxRuntimeGenAI"),
    "CUDAExecutionProvider": ("onnxruntime-genai-cuda", "Microsoft.ML.OnnxRuntimeGenAI.Cuda"),
    "DmlExecutionProvider": ("onnxruntime-genai-directml", "Microsoft.ML.OnnxRuntimeGenAI.DirectML"),
}
"""Execution provider -> its package on PyPI, and on NuGet. Others come as plugins of the first."""


def use(artifact: Artifact) -> Usage:
    """For FormatSpec.usage of ort-genai."""
    provider = str(artifact.meta.extra.get("execution_provider") or _CPU)
    wheel, nuget = _PACKAGES.get(provider, _PACKAGES[_CPU])
    code = prompt_code(artifact)
    longest = min(_LONGEST, int(read_config(artifact.path)["model"]["context_length"]))
    lines = "\n".join(_python(code, longest))
    python = _block("python", lines)
    csharp = _block("csharp", "\n".join(_csharp(code, longest, artifact.path)))
    text = (
        f"It is built for {provider}. The whole folder is the model.\n\n"
        f"Python: `pip install {wheel}`, and in this folder\n\n{python}\n"
        f"C#: `dotnet add package {nuget}`, and in this folder\n\n{csharp}"
    )
    precision = artifact.meta.extra.get("precision")
    return Usage(
        text=text,
        try_it='ask {} "I lost my keys."' if provider == _CPU else "",
        library="onnxruntime-genai",
        tags=("onnx", "onnxruntime-genai"),
        relation="quantized" if precision in ("int4", "int8") else "",
        code=lines,
        packages=(wheel,),
    )


def _python(code: PromptCode, longest: int) -> Iterator[str]:
    chat = "tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)"
    if code.chat:
        yield "import json\n"
    yield "import onnxruntime_genai as og\n"
    yield 'model = og.Model(".")'
    yield "tokenizer = og.Tokenizer(model)"
    yield from code.python(chat)
    yield ""
    yield "parameters = og.GeneratorParams(model)"
    yield f"parameters.set_search_options(max_length={longest}, do_sample=False)"
    yield "generator = og.Generator(model, parameters)"
    end = "[:-1]  # without the end token that the tokenizer puts" if code.closes else ""
    yield f"ids = tokenizer.encode(prompt){end}"
    yield "generator.append_tokens(ids)"
    yield "stream = tokenizer.create_stream()"
    yield "while not generator.is_done():"
    yield "    generator.generate_next_token()"
    yield '    print(stream.decode(generator.get_next_tokens()[0]), end="", flush=True)'


def _csharp(code: PromptCode, longest: int, folder: Path) -> Iterator[str]:
    yield "using Microsoft.ML.OnnxRuntimeGenAI;\n"
    yield 'using var model = new Model(".");'
    yield "using var tokenizer = new Tokenizer(model);"
    yield 'var phrase = "I lost my keys.";'
    if code.template:
        yield f"var prompt = {_quoted(code.template)}.Replace({_quoted(code.place)}, phrase);"
    elif code.chat:
        yield 'var turn = new { role = "user", content = phrase };'
        yield "var messages = System.Text.Json.JsonSerializer.Serialize(new[] { turn });"
        apart = (folder / CHAT_TEMPLATE).is_file()
        template = f'System.IO.File.ReadAllText("{CHAT_TEMPLATE}")' if apart else '""'
        yield f"var template = {template};"
        yield 'var prompt = tokenizer.ApplyChatTemplate(template, messages, "", true);'
        if code.begin:
            yield f"var begin = {_quoted(code.begin)};  // the tokenizer puts it"
            yield "if (prompt.StartsWith(begin)) prompt = prompt[begin.Length..];"
    else:
        yield "var prompt = phrase;"
    yield ""
    yield "using var parameters = new GeneratorParams(model);"
    yield f'parameters.SetSearchOption("max_length", {longest});'
    yield 'parameters.SetSearchOption("do_sample", false);'
    yield "using var generator = new Generator(model, parameters);"
    yield "using var ids = tokenizer.Encode(prompt);"
    if code.closes:
        yield "generator.AppendTokens(ids[0][..^1]);  // without the end token that the tokenizer puts"
    else:
        yield "generator.AppendTokenSequences(ids);"
    yield "using var stream = tokenizer.CreateStream();"
    yield "while (!generator.IsDone())"
    yield "{"
    yield "    generator.GenerateNextToken();"
    yield "    System.Console.Write(stream.Decode(generator.GetSequence(0)[^1]));"
    yield "}"


def _block(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
