"""The observers of a run: each is told every event, and none can stop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelpress import fence
from modelpress.config.workflow import ObserverChoice, WorkflowDraft
from modelpress.errors import ModelpressError, Problem
from modelpress.events import Event, Log
from modelpress.observer import Observed, Observer
from modelpress.provider import installed_versions
from modelpress.requirements import lacks, required_names


class Observers:
    """Those that a workflow names. Where one fails, that is told once and it is let go."""

    def __init__(self, choices: Sequence[ObserverChoice], run: Observed) -> None:
        self._watching: list[tuple[ObserverChoice, Observer]] = []
        self.told: list[Log] = []
        """What became of those that could not begin."""
        for choice in choices:
            entry = choice.registered
            try:
                self._watching.append((choice, entry.call(entry.spec.open, choice.options, run)))
            except ModelpressError as error:
                self.told.append(_gone(choice, error))

    def see(self, event: Event) -> list[Log]:
        """Show them the event. Returns what is to be told of those that failed."""
        told = []
        for watching in tuple(self._watching):
            choice, observer = watching
            try:
                with fence.aside(), fence.fence(choice.registered.origin, choice.registered.spec.open):
                    observer.see(event)
            except ModelpressError as error:
                self._watching.remove(watching)
                told.append(_gone(choice, error))
        return told

    def close(self) -> list[Log]:
        """The run has ended."""
        told = []
        for choice, observer in self._watching:
            try:
                with fence.aside(), fence.fence(choice.registered.origin, choice.registered.spec.open):
                    observer.close()
            except ModelpressError as error:
                told.append(_gone(choice, error))
        self._watching = []
        return told


def _gone(choice: ObserverChoice, error: ModelpressError) -> Log:
    hint = f" {error.hint}" if error.hint else ""
    return Log("warning", f"The observer {choice.type_name} watches no more: {error.message}{hint}")


def observer_problems(workflow: WorkflowDraft) -> Iterator[Problem]:
    """What is missing here for the observers: they watch from this Python, wherever the work runs."""
    for choice in workflow.observers:
        requires = choice.registered.spec.requires
        lacking = lacks(requires, installed_versions(required_names(requires)))
        if lacking:
            told = ", ".join(lack.told() for lack in lacking)
            message = f"The observer {choice.type_name} lacks what it needs: {told}."
            where = workflow.locate(choice.path)
            yield Problem(message, choice.registered.install_hint, where, kind="dependency")
