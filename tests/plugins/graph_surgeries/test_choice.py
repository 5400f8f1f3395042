"""Who the surgeons are: our own, in any case; others' by entry point, with who is at fault."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelpress.api import PassSpec, Registry, UserError
from modelpress.shipping import part_providers
from modelpress_plugins.graph_surgeries.choice import Surgeon, find, find_of, hint, names, written
from modelpress_plugins.graph_surgeries.surgeons import OWN

ACME = '''
from typing import ClassVar
from pydantic import Field
from modelpress.api import Options

class AcmeNegate(Options):
    """Abs becomes Neg."""

    run: ClassVar[str] = "acme_surgeons.code:negate"
    times: int = Field(default=1, ge=1)

not_options = 7
'''
CODE = """
def negate(model, options, operation):
    count = 0
    for node in model.graph:
        if node.op_type == "Abs":
            node.op_type = "Neg"
            count += 1
    operation.tell(f"negated {options.times}")
    return count
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another distribution, installed."""
    package, info = tmp_path / "acme_surgeons", tmp_path / "acme_surgeons-1.2.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text(ACME)
    (package / "code.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-surgeons\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[modelpress.surgeons]\nAcmeNegate = acme_surgeons:AcmeNegate\n"
        "AcmeGone = acme_gone:Gone\nAcmeOdd = acme_surgeons:not_options\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith("acme_surgeons")]:
        del sys.modules[name]


def test_every_surgeon_of_the_table_has_its_code_and_says_what_it_does() -> None:
    for options in OWN:
        surgeon = find(options.__name__.lower())
        assert surgeon is not None
        assert surgeon.name == options.__name__
        assert not surgeon.provider
        assert options.__doc__
        assert len(options.__doc__) > 20
        module, _, name = surgeon.run.partition(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))


def test_a_surgery_is_written_with_all_its_options() -> None:
    assert written({"surgeon": "replaceATTENTIONmaskvalue"}) == {
        "surgeon": "ReplaceAttentionMaskValue", "threshold": -3e30, "replacement": -1e4,
    }  # fmt: skip
    assert written(written({"surgeon": "DeduplicateNodes"})) == {"surgeon": "DeduplicateNodes"}


def test_an_option_that_it_does_not_have_is_told_with_the_likeliest() -> None:
    with pytest.raises(ValidationError, match=r"an option of ReplaceAttentionMaskValue .*'replacement'"):
        written({"surgeon": "ReplaceAttentionMaskValue", "replacment": -5.0})


def test_one_that_is_not_known_is_told_with_the_nearest_of_all(acme: Path) -> None:
    assert find("AcmeNegat") is None
    assert hint("AcmeNegat") == "Did you mean 'AcmeNegate'?"
    assert hint("TieWordEmbedding") == "Did you mean 'TieWordEmbeddings'?"
    assert "AcmeNegate" in names()


def test_a_surgeon_of_another_distribution_is_found_and_named(acme: Path) -> None:
    surgery = written({"surgeon": "acmenegate"})
    assert surgery["surgeon"] == "AcmeNegate"
    assert surgery["times"] == 1
    assert str(surgery["provider"]).startswith("acme-surgeons 1.2 ")
    assert written(surgery) == surgery


def test_the_key_of_a_surgery_changes_with_the_code_of_others(acme: Path) -> None:
    before = written({"surgeon": "AcmeNegate"})["provider"]
    (acme / "code.py").write_text(CODE + "\n# another\n")
    assert written({"surgeon": "AcmeNegate"})["provider"] != before


def test_where_its_code_was_carried_along_it_is_found_without_being_installed(acme: Path) -> None:
    surgery = written({"surgeon": "AcmeNegate"})
    assert surgery["code"] == "acme_surgeons:AcmeNegate"
    shutil.rmtree(acme.parent / "acme_surgeons-1.2.dist-info")
    importlib.invalidate_caches()
    assert find("AcmeNegate") is None
    found = find_of(surgery)
    assert found is not None
    assert (found.name, found.provider) == ("AcmeNegate", surgery["provider"])


def test_its_code_goes_wherever_the_pass_runs(acme: Path) -> None:
    spec = Registry.load().find(PassSpec, "GraphSurgeries").spec
    carried = {name: provider.folders for name, provider in part_providers(spec)}
    assert carried["AcmeNegate"] == (acme,)


@pytest.mark.parametrize(("name", "told"), [("AcmeGone", "cannot be loaded"), ("AcmeOdd", "is no subclass")])
def test_a_surgeon_that_does_not_work_is_its_distributions_fault(acme: Path, name: str, told: str) -> None:
    with pytest.raises(UserError, match=f"{name} of acme-surgeons 1.2 {told}"):
        find(name)


def test_a_surgeon_has_to_say_what_it_changed(acme: Path) -> None:
    found = find("AcmeNegate")
    assert found is not None
    (acme / "none.py").write_text("def nothing(model, options, operation):\n    pass\n")
    silent = Surgeon("AcmeNegate", found.options, "acme_surgeons.none:nothing")
    with pytest.raises(UserError, match="has to say how many nodes"):
        silent.operate(None, found.options(), None)


def test_the_page_has_a_row_for_each_surgeon_with_its_options() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "onnx.md").read_text(encoding="utf-8")
    for options in OWN:
        told = " ".join((options.__doc__ or "").split())
        taken = [
            f"`{name}`" if field.is_required() else f"`{name}` ({field.default})"
            for name, field in options.model_fields.items()
        ]
        assert f"| `{options.__name__}` | {told} | {', '.join(taken) or 'none'} |\n" in page
