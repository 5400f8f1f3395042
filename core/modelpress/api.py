"""All that a plugin may import. A promise: nothing here changes its meaning under MODELPRESS_API = 1.

The specs and `hookimpl` are here at once, since every plugin's entry module needs them; everything else is
loaded on first use, so that a list of passes waits for nothing that it does not show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelpress.hookspecs import API_VERSION, hookimpl
from modelpress.specs import (
    ANY_FORMAT,
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    Rename,
    ResourceSpec,
    SamplerSpec,
    SystemSpec,
)

if TYPE_CHECKING:
    from modelpress.artifact import Artifact, Meta
    from modelpress.checkpoint import Checkpoint, TensorInfo
    from modelpress.checkpoint_writer import CheckpointWriter
    from modelpress.cli.completion import names_of
    from modelpress.cli.execute import execute_workflow
    from modelpress.cli.option_facts import OptionFacts, option_facts, takes
    from modelpress.cli.planning import offline_option, set_option
    from modelpress.cli.text import examples, fold, json_option, on_terminal, print_json, print_table, say
    from modelpress.cli.verbosity import verbosity_options
    from modelpress.compiled import suffixes_of
    from modelpress.config.given import Setting
    from modelpress.config.load import load_workflow
    from modelpress.config.migrate import dump_yaml
    from modelpress.config.workflow import PassChoice
    from modelpress.context import (
        Accelerator,
        ArrayFacts,
        DataContext,
        DataFacts,
        FetchContext,
        ModelFacts,
        PassContext,
        PlanContext,
    )
    from modelpress.engine.cache import default_cache_folder
    from modelpress.engine.environment import worker_environment
    from modelpress.engine.goals import Judgement
    from modelpress.engine.history import curves_told
    from modelpress.engine.job import Job, Result, Source, input_names, read_answer, read_job, scrub_job
    from modelpress.engine.load import find_artifact, load_model, load_tokenizer
    from modelpress.engine.open_data import open_data
    from modelpress.engine.past_runs import history_of, open_run
    from modelpress.engine.process import EventReader, WarmWorker, import_path
    from modelpress.engine.record import RunRecord, StepRecord
    from modelpress.engine.search.record import CandidateRecord, SearchRecord, TaskRecord
    from modelpress.engine.worker_system import WorkerSystem
    from modelpress.errors import (
        ArtifactGone,
        HostError,
        MissingDependencyError,
        ModelpressError,
        PassError,
        Problem,
        UserError,
        WorkerDied,
        WorkflowError,
    )
    from modelpress.estimate import Estimate
    from modelpress.events import (
        CandidateFinished,
        CandidateStarted,
        Event,
        Log,
        Progress,
        Report,
        RunFinished,
        RunStarted,
        StepFinished,
        StepStarted,
        decode_event,
    )
    from modelpress.figures import duration, number, plural, size
    from modelpress.files import finished, mark_finished, move, write_whole
    from modelpress.findings import Finding
    from modelpress.from_python import validate
    from modelpress.from_source import spec_from_source
    from modelpress.identity import content_identity, looks_like_path, named_path
    from modelpress.json_types import JSONValue
    from modelpress.loading import installed_points
    from modelpress.machine import refusal
    from modelpress.markers import (
        DataRole,
        LocalPath,
        Resource,
        ResourcePath,
        ResourceRef,
        Searchable,
        Secret,
        SecretName,
        Verbatim,
    )
    from modelpress.nearest import did_you_mean, nearest
    from modelpress.observer import Observed, Observer
    from modelpress.opened import LoadedModel, Sampling, TextModel, Tokenizer
    from modelpress.options import Options, Size
    from modelpress.paths import each_text
    from modelpress.processor import cpu_features
    from modelpress.progress.levels import Verbosity
    from modelpress.provider import installed_versions
    from modelpress.records import to_json
    from modelpress.registry import Registered, Registry
    from modelpress.requirements import lacks, parse_requirement, required_names
    from modelpress.samples import NO_LOSS, DataSource, Exchange, Sample, SampleTable
    from modelpress.search import Axis, Candidate, Interval, Outcome, Sampler, SearchSpace, TriedCandidate
    from modelpress.secrets import collect_secrets, give_secrets, look_for, read_secret
    from modelpress.sizes import parse_size
    from modelpress.system import Environment, Handle, Needs, System, Tell, Traits
    from modelpress.usage import Usage
    from modelpress.worker import be_rank

# fmt: off
__all__ = [
    "ANY_FORMAT", "API_VERSION", "NO_LOSS", "Accelerator", "ArrayFacts", "Artifact", "ArtifactGone", "Axis",
    "Candidate", "CandidateFinished", "CandidateRecord", "CandidateStarted", "Checkpoint", "CheckpointWriter",
    "CommandSpec", "DataContainerSpec", "DataContext", "DataFacts", "DataRole", "DataSource", "Environment",
    "Estimate", "Event", "EventReader", "Exchange", "FetchContext", "Finding", "FormatSpec", "Handle",
    "HostError", "Interval", "JSONValue", "Job", "Judgement", "LibrarySpec", "LoadedModel", "LocalPath",
    "Log", "Meta", "MetricSpec", "MissingDependencyError", "ModelFacts", "ModelSpec", "ModelpressError",
    "Needs", "Observed", "Observer", "ObserverSpec", "OptionFacts", "Options", "Outcome", "PassChoice",
    "PassContext", "PassError", "PassSpec", "PlanContext", "Problem", "Progress", "Registered", "Registry",
    "Rename", "Report", "Resource", "ResourcePath", "ResourceRef", "ResourceSpec", "Result", "RunFinished",
    "RunRecord", "RunStarted", "Sample", "SampleTable", "Sampler", "SamplerSpec", "Sampling",
    "SearchRecord", "SearchSpace", "Searchable", "Secret", "SecretName", "Setting", "Size", "Source",
    "StepFinished", "StepRecord", "StepStarted", "System", "SystemSpec", "TaskRecord", "Tell", "TensorInfo",
    "TextModel", "Tokenizer", "Traits", "TriedCandidate", "Usage", "UserError", "Verbatim", "Verbosity",
    "WarmWorker", "WorkerDied", "WorkerSystem", "WorkflowError", "be_rank", "collect_secrets",
    "content_identity", "cpu_features", "curves_told", "decode_event", "default_cache_folder",
    "did_you_mean", "dump_yaml", "duration", "each_text", "examples", "execute_workflow", "find_artifact",
    "finished", "fold", "give_secrets", "history_of", "hookimpl", "import_path", "input_names",
    "installed_points", "installed_versions", "json_option", "lacks", "load_model", "load_tokenizer",
    "load_workflow", "look_for", "looks_like_path", "mark_finished", "move", "named_path", "names_of",
    "nearest", "number",
    "offline_option", "on_terminal", "open_data", "open_run", "option_facts", "parse_requirement",
    "parse_size", "plural", "print_json", "print_table", "read_answer", "read_job", "read_secret",
    "refusal", "required_names", "say", "scrub_job", "set_option", "size", "spec_from_source",
    "suffixes_of", "takes", "to_json", "validate", "verbosity_options", "worker_environment", "write_whole",
]
# fmt: on

_HOMES = {
    # what is loaded on first use, by where it is
    "modelpress.artifact": "Artifact Meta",
    "modelpress.checkpoint": "Checkpoint TensorInfo",
    "modelpress.checkpoint_writer": "CheckpointWriter",
    "modelpress.cli.completion": "names_of",
    "modelpress.cli.execute": "execute_workflow",
    "modelpress.cli.option_facts": "option_facts OptionFacts takes",
    "modelpress.cli.planning": "offline_option set_option",
    "modelpress.cli.text": "examples fold json_option on_terminal print_json print_table say",
    "modelpress.cli.verbosity": "verbosity_options",
    "modelpress.compiled": "suffixes_of",
    "modelpress.config.given": "Setting",
    "modelpress.config.load": "load_workflow",
    "modelpress.config.migrate": "dump_yaml",
    "modelpress.config.workflow": "PassChoice",
    "modelpress.context": "Accelerator ArrayFacts DataContext DataFacts FetchContext ModelFacts PassContext "
    "PlanContext",
    "modelpress.engine.cache": "default_cache_folder",
    "modelpress.engine.environment": "worker_environment",
    "modelpress.engine.goals": "Judgement",
    "modelpress.engine.history": "curves_told",
    "modelpress.engine.job": "input_names Job read_answer read_job Result scrub_job Source",
    "modelpress.engine.load": "find_artifact load_model load_tokenizer",
    "modelpress.engine.open_data": "open_data",
    "modelpress.engine.past_runs": "history_of open_run",
    "modelpress.engine.process": "EventReader import_path WarmWorker",
    "modelpress.engine.record": "RunRecord StepRecord",
    "modelpress.engine.search.record": "CandidateRecord SearchRecord TaskRecord",
    "modelpress.engine.worker_system": "WorkerSystem",
    "modelpress.errors": "ArtifactGone HostError MissingDependencyError ModelpressError "
    "PassError Problem UserError WorkerDied WorkflowError",
    "modelpress.estimate": "Estimate",
    "modelpress.events": "CandidateFinished CandidateStarted decode_event Event Log Progress Report "
    "RunFinished RunStarted StepFinished StepStarted",
    "modelpress.figures": "duration number plural size",
    "modelpress.files": "finished mark_finished move write_whole",
    "modelpress.findings": "Finding",
    "modelpress.from_python": "validate",
    "modelpress.from_source": "spec_from_source",
    "modelpress.identity": "content_identity looks_like_path named_path",
    "modelpress.json_types": "JSONValue",
    "modelpress.loading": "installed_points",
    "modelpress.machine": "refusal",
    "modelpress.markers": "DataRole LocalPath Resource ResourcePath "
    "ResourceRef Searchable Secret SecretName Verbatim",
    "modelpress.nearest": "did_you_mean nearest",
    "modelpress.observer": "Observed Observer",
    "modelpress.opened": "LoadedModel Sampling TextModel Tokenizer",
    "modelpress.options": "Options Size",
    "modelpress.paths": "each_text",
    "modelpress.processor": "cpu_features",
    "modelpress.progress.levels": "Verbosity",
    "modelpress.provider": "installed_versions",
    "modelpress.records": "to_json",
    "modelpress.registry": "Registered Registry",
    "modelpress.requirements": "lacks parse_requirement required_names",
    "modelpress.samples": "DataSource Exchange NO_LOSS Sample SampleTable",
    "modelpress.search": "Axis Candidate Interval Outcome Sampler SearchSpace TriedCandidate",
    "modelpress.secrets": "collect_secrets give_secrets look_for read_secret",
    "modelpress.sizes": "parse_size",
    "modelpress.system": "Environment Handle Needs System Tell Traits",
    "modelpress.usage": "Usage",
    "modelpress.worker": "be_rank",
}


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOMES.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module 'modelpress.api' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the rest of this module does without

    value = globals()[name] = getattr(import_module(home), name)
    return value
