"""The layout that the options of a data config ask for."""

from __future__ import annotations

from modelpress_plugins.huggingface.chat import ChatLayout
from modelpress_plugins.huggingface.chat_template import template_text
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions, PreProcess
from modelpress_plugins.huggingface.pair_formats import PAIR_FORMATS
from modelpress_plugins.huggingface.text import (
    FunctionLayout,
    Layout,
    PairLayout,
    Row,
    TemplateLayout,
    corpus_template,
    pair_templates,
)
from modelpress_plugins.user_code import load_function


def make_layout(options: HuggingfaceOptions, pre: PreProcess, first: Row) -> Layout:
    """How rows are written. Runs the user's script, where one is named.

    pre: the options' own, completed by `recognize`; first: the first row
    """
    if pre.chat_template:
        given = pre.chat_template
        return ChatLayout(pre.message_col, template_text(given) if isinstance(given, str) else None)
    if pre.text_formatting_func:
        script = options.user_script if isinstance(options.user_script, str) else None
        folder = options.script_dir if isinstance(options.script_dir, str) else None
        function = load_function(pre.text_formatting_func, script, folder)
        return FunctionLayout(function, pre.text_formatting_func)
    if pre.dataset_type == "pair":
        return _pair_layout(pre, first)
    return TemplateLayout(corpus_template(pre))


def _pair_layout(pre: PreProcess, first: Row) -> Layout:
    if pre.pair_format not in ("default", "custom"):
        name = f"pair_format {pre.pair_format}"
        return FunctionLayout(PAIR_FORMATS[pre.pair_format], name, identity=name)
    if isinstance(first.get(pre.input_col or ""), list) and pre.output_col:
        return ChatLayout(pre.input_col or "", None, answer=pre.output_col)
    return PairLayout(*pair_templates(pre))
