"""What is known of the input model: opened by its plugin, identified by what it is, not by where it lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from modelpress.artifact import refuse_links
from modelpress.config.workflow import ModelChoice, Unfit, Workflow
from modelpress.context import ModelFacts
from modelpress.engine.places import host_device, target_of
from modelpress.engine.plan_context import Findings, StepContext
from modelpress.engine.resources import fetched_identity
from modelpress.errors import UserError
from modelpress.fence import fault
from modelpress.identity import DigestMemo, content_identity
from modelpress.markers import NotFetched, resource_refs
from modelpress.problems import Problems
from modelpress.records import to_json
from modelpress.specs import ANY_FORMAT


def open_input(workflow: Workflow, digests: DigestMemo, *, offline: bool) -> ModelFacts:
    """The input model anew, after it was fetched. Raises WorkflowError when it is not as it should be."""
    findings = Findings(workflow, Problems())
    context = StepContext(
        "input_model", "input_model", offline, workflow.folder, findings, host_device(workflow),
        target_of(workflow),
    )  # fmt: skip
    facts = open_model(workflow.input_model, context, digests)
    findings.problems.raise_if_any()
    if facts is None:
        raise UserError("The input model cannot be opened.")
    return facts


def open_model(
    choice: ModelChoice, context: StepContext, digests: DigestMemo, without: tuple[Path, ...] = ()
) -> ModelFacts | None:
    """What is known of the input model; None after a problem."""
    before = len(context.findings.problems)
    try:
        facts = choice.registered.call(choice.registered.spec.open, choice.options, context)
    except NotFetched:  # a plugin that reads its files at once, as most do
        identities = [ref.identity for ref in resource_refs(choice.options)]
        facts = ModelFacts(choice.produces, identity=" ".join(identities))
    if len(context.findings.problems) == before:
        _require_true(choice, facts)
    model = facts
    while model is not None:
        try:
            # What has an identity of its own (`hub:org/name@commit`) was put there by what fetches it.
            for folder in () if model.identity else (model.path, model.meta.tokenizer_path):
                if folder and Path(folder).is_dir():
                    refuse_links(Path(folder))
        except UserError as error:
            context.problem(error.message, error.hint)
        model = model.base
    return _identified(facts, digests, without) if facts else None


def _require_true(choice: ModelChoice, facts: ModelFacts | None) -> None:
    """Raise a PluginError for facts that cannot be so; None is an answer where a problem was told."""
    spec = choice.registered.spec
    wrong = ""
    if facts is None:
        wrong = "None, and told no problem"
    elif spec.produces not in (ANY_FORMAT, *_formats(facts)):
        wrong = f"the format {facts.format!r}, and its spec promises {spec.produces!r}"
    elif facts.path is not None and not (facts.path.is_absolute() and facts.path.exists()):
        wrong = f"the path {str(facts.path)!r}, expected an absolute one of what is there"
    if wrong:
        raise fault(choice.registered.origin, spec.open, f"it returned {wrong}")


def _formats(facts: ModelFacts) -> list[str]:
    """Its own, and that of each model it is a change to: an adapter of an `hf-model` is promised as one."""
    return [facts.format, *(_formats(facts.base) if facts.base else ())]


def _identified(facts: ModelFacts, digests: DigestMemo, without: tuple[Path, ...]) -> ModelFacts:
    base = _identified(facts.base, digests, without) if facts.base else None
    identity = facts.identity
    if not identity and facts.path is not None and facts.path.exists():
        identity = fetched_identity(facts.path) or content_identity(facts.path, digests, without)
    return replace(facts, identity=identity, base=base)


def format_told(choice: ModelChoice | Unfit) -> str:
    """The format of the input model as its type tells it; empty when only its files do."""
    return "" if choice.produces == ANY_FORMAT else choice.produces


def input_key(model: ModelFacts) -> str:
    """Identity, and what else is told of the model (`load_kwargs`), wherever its files lie."""
    meta = json.dumps(to_json(replace(model.meta, tokenizer_path="")), sort_keys=True)
    base = f" on {input_key(model.base)}" if model.base else ""
    return f"{model.identity} {meta}{base}"
