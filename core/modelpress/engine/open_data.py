"""Open a data config of a workflow in this process, as a pass would, to look at its samples."""

from __future__ import annotations

from pathlib import Path

from modelpress.config.given import Given, Setting
from modelpress.context import DataContext
from modelpress.engine.inputs import resolve_options
from modelpress.engine.load import load_tokenizer
from modelpress.engine.plan import PlanDraft
from modelpress.engine.prepare import prepare
from modelpress.errors import Problem, UserError, WorkflowError
from modelpress.events import Event, Log
from modelpress.nearest import did_you_mean
from modelpress.opened import Tokenizer
from modelpress.registry import Registry
from modelpress.samples import DataSource


def open_data(
    file: Path,
    name: str,
    registry: Registry,
    *,
    model: Path | None = None,
    settings: tuple[Setting, ...] = (),
) -> tuple[DataSource, Tokenizer]:
    """The data config of that name, opened, and the tokenizer of the workflow's model (or of `model`).

    settings: values that count more than the file's
    """
    with prepare(Given(file, settings=settings), registry) as prepared:
        plan = prepared.plan
    choice = plan.workflow.data.get(name)
    if choice is None:
        plan.problems.raise_if_any()  # it may be there, and wrong
        raise UserError(
            f"{file} has no data config named {name!r}.",
            did_you_mean(name, plan.workflow.data, what="It has"),
        )
    # What is wrong with it is what `validate` says; what is wrong with a pass does not matter here.
    if wrong := [problem for problem in plan.problems if problem.step == name]:
        raise WorkflowError(wrong)
    found: list[Problem] = []

    def tell(message: str, hint: str, option: str) -> None:
        path = f"{choice.path}.{option}" if option else choice.path
        found.append(Problem(message, hint, plan.workflow.locate(path), name))

    cache = prepared.cache
    resolved = resolve_options(choice.options, name, prepared.systems.lookup, tell)
    if found:
        raise WorkflowError(found)

    def observe(event: Event) -> None:
        registry.emit(event)

    def tell_note(message: str) -> None:
        observe(Log("note", message))

    options = choice.registered.parse(resolved.local(cache, observe))
    cache.data_folder.mkdir(parents=True, exist_ok=True)
    source = choice.registered.call(
        choice.registered.spec.open, options, DataContext(cache.data_folder, tell_note)
    )
    return source, load_tokenizer(model or _model_folder(plan), registry)


def _model_folder(plan: PlanDraft) -> Path:
    if plan.model is None:
        plan.problems.raise_if_any()
    if plan.model is None or plan.model.path is None:
        raise UserError(
            "The workflow's model is not on this machine yet.",
            "Name a folder with a tokenizer: --model FOLDER.",
        )
    return plan.model.path
