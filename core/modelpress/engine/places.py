"""Where the work of a workflow runs (host), and what its models are for (target)."""

from __future__ import annotations

from modelpress.config.workflow import PassChoice, Workflow, WorkflowDraft, WorkflowParts
from modelpress.context import Accelerator
from modelpress.engine.plan_context import Findings, StepContext
from modelpress.engine.systems import OpenSystems
from modelpress.errors import HostError
from modelpress.specs import PassSpec

CPU = "cpu"


class Places:
    """The accelerators of a workflow's systems. Each system is asked at most once for each."""

    def __init__(self, workflow: WorkflowDraft, systems: OpenSystems, findings: Findings) -> None:
        self._workflow = workflow
        self._systems = systems
        self._found: dict[tuple[str, Accelerator], bool] = {}
        self.target = target_of(workflow)
        _tell_two_targets(workflow, findings)
        others = _accelerators(workflow, target_system(workflow))[1:]
        if others:
            names = ", ".join(other.execution_provider for other in others)
            findings.note(
                f"The target has {len(others) + 1} accelerators. The first is built for, "
                f"{self.target.execution_provider}; {names} would need a run each."
            )

    def device(self, spec: PassSpec, system: str, context: StepContext) -> str:
        """The device of its host that a pass runs on: the host's first that it can use, else the CPU. What
        the host does not have is told."""
        wanted = _first(self._workflow, system)
        if wanted.device not in spec.devices:
            if CPU not in spec.devices:
                context.problem(
                    f"{spec.name} runs on {' or '.join(spec.devices)}, but the accelerator of {system!r}, "
                    f"which runs it, is {wanted.device!r}."
                )
            return CPU
        if wanted.device != CPU and not self.has(system, wanted):
            context.problem(
                f"{spec.name} would run on the {wanted.device} of {system!r}, and there is none "
                f"({wanted.execution_provider}).",
                "Leave `host` out, or give it a system without accelerators: it runs on this machine's CPU "
                "then. What the model is for is said by `target` alone.",
            )
        return wanted.device

    def has(self, system: str, accelerator: Accelerator) -> bool:
        """Whether a system has an accelerator, as far as it knows; not where it cannot be asked."""
        if accelerator.device == CPU and accelerator == Accelerator():
            return True
        if (system, accelerator) not in self._found:
            self._found[system, accelerator] = self._ask(system, accelerator)
        return self._found[system, accelerator]

    def _ask(self, system: str, accelerator: Accelerator) -> bool:
        if system not in self._systems:
            return False  # what is wrong with it was told when the file was read
        try:
            return self._systems.get(system).has(accelerator)
        except HostError:
            return False


def _tell_two_targets(workflow: WorkflowDraft, findings: Findings) -> None:
    """A problem where hosts name different accelerators, and nothing says which one the model is for: it
    would be built for one of them, or for neither."""
    if workflow.target:
        return
    hosts = [workflow.host, *(choice.host for choice in workflow.passes if isinstance(choice, PassChoice))]
    named = {host: _first(workflow, host) for host in dict.fromkeys(hosts)}
    named = {host: found for host, found in named.items() if found != Accelerator()}
    if len(set(named.values())) > 1:
        told = ", ".join(
            f"{host!r} has {each.device} ({each.execution_provider})" for host, each in named.items()
        )
        findings.problem(
            f"systems.{list(named)[-1]}",
            f"The passes run on systems with different accelerators, and no target is named: {told}.",
            "Say what the model is for: `target: NAME`, a system. What passes run on is said by `host`.",
        )


def target_system(workflow: WorkflowParts) -> str:
    """The system that the model is for: the host, where none is named."""
    return workflow.target or workflow.host


def target_of(workflow: WorkflowParts) -> Accelerator:
    """What the model is for."""
    return _first(workflow, target_system(workflow))


def host_device(workflow: Workflow | WorkflowParts) -> str:
    """The device of the workflow's host."""
    return _first(workflow, workflow.host).device


def _first(workflow: WorkflowParts, system: str) -> Accelerator:
    return next(iter(_accelerators(workflow, system)), Accelerator())


def _accelerators(workflow: WorkflowParts, system: str) -> tuple[Accelerator, ...]:
    choice = workflow.systems.get(system)
    return choice.accelerators if choice else ()
