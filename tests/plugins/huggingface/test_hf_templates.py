from __future__ import annotations

from modelpress_plugins.huggingface.templates import Column, join_columns, parse_template


def test_a_column_name_may_hold_blanks_and_signs() -> None:
    template = parse_template("<|user|>\n{Question}<|end|>\n{Best Answer (2)}")
    assert template.columns == ("Question", "Best Answer (2)")
    assert template.fill(str.upper) == "<|user|>\nQUESTION<|end|>\nBEST ANSWER (2)"


def test_doubled_braces_are_braces_and_a_lone_one_stands_for_itself() -> None:
    assert parse_template('{{"a": {x}}} } {').fill(lambda _: "1") == '{"a": 1} } {'


def test_the_answer_is_the_last_placeholder_with_what_follows_as_tail() -> None:
    cut = parse_template("Q: {q}\nA: {a}<|end|>").cut_at_answer()
    assert cut is not None
    prompt, answer, tail = cut
    assert prompt.fill(lambda _: "2+2") == "Q: 2+2\nA: "
    assert answer.parts == (Column("a"),)
    assert tail.parts == ("<|end|>",)


def test_a_template_that_begins_with_its_only_column_has_no_answer() -> None:
    assert parse_template("{text} and so on").cut_at_answer() is None
    assert parse_template("no column").cut_at_answer() is None


def test_several_columns_are_put_together_with_a_blank() -> None:
    assert join_columns(["a", "b"]).fill(str.upper) == "A B"
