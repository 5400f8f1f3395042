"""One small plugin of each kind. This module is imported for every listing, so it only says what there is."""

from __future__ import annotations

from modelpress.api import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    ResourceSpec,
    SamplerSpec,
    SystemSpec,
    hookimpl,
)

MODELPRESS_API = 1
_HERE = "modelpress_example"
_NUMPY = "numpy>=1.26"


@hookimpl
def modelpress_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="BigramModel",
            summary="Counted pairs of letters: a folder with bigram.json.",
            produces="bigram",
            open=f"{_HERE}.model:open_model",
            config=f"{_HERE}.options:BigramModelOptions",
        )
    ]


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="bigram",
            summary="How often each letter follows each other letter.",
            check=f"{_HERE}.files:check",
            load=f"{_HERE}.runtime:load",
            tokenizer=f"{_HERE}.letters:tokenizer",
            requires=(_NUMPY,),
            extra="run",
        )
    ]


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        PassSpec(
            name="PruneBigram",
            summary="Drop the pairs of letters that were seen too rarely.",
            accepts=("bigram",),
            produces="bigram",
            run=f"{_HERE}.prune:prune",
            config=f"{_HERE}.options:PruneOptions",
            plan=f"{_HERE}.prune:plan",
        )
    ]


@hookimpl
def modelpress_data_containers() -> list[DataContainerSpec]:
    return [
        DataContainerSpec(
            name="TextLines",
            summary="The lines of a text file, each a sample.",
            open=f"{_HERE}.lines:open_lines",
            describe=f"{_HERE}.lines:describe_lines",
            config=f"{_HERE}.options:LinesOptions",
        )
    ]


@hookimpl
def modelpress_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="bits_per_character",
            summary="Bits that the model needs for a letter of the text.",
            run=f"{_HERE}.bits:bits_per_character",
            config=f"{_HERE}.options:BitsOptions",
            gives={"bits_per_character": ("bits", False)},
            requires=(_NUMPY,),
            extra="run",
        )
    ]


@hookimpl
def modelpress_resources() -> list[ResourceSpec]:
    return [
        ResourceSpec(
            name="example_store",
            summary="A file in a folder that stands for a store.",
            identity=f"{_HERE}.store:identity",
            fetch=f"{_HERE}.store:fetch",
            config=f"{_HERE}.options:StoreOptions",
        )
    ]


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="FreshProcess",
            summary="This Python, in a new process for every job.",
            open=f"{_HERE}.fresh:open_fresh",
            config=f"{_HERE}.options:FreshOptions",
        )
    ]


@hookimpl
def modelpress_samplers() -> list[SamplerSpec]:
    return [
        SamplerSpec(
            name="every_choice",
            summary="Every combination once, in an order that follows from the seed.",
            open=f"{_HERE}.choices:open_choices",
            config=f"{_HERE}.options:ChoicesOptions",
        )
    ]


@hookimpl
def modelpress_observers() -> list[ObserverSpec]:
    return [
        ObserverSpec(
            name="ExampleDiary",
            summary="Writes a line for each step that ends, and how the run ended.",
            open=f"{_HERE}.diary:open_diary",
            config=f"{_HERE}.options:DiaryOptions",
        )
    ]


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="bigram",
            summary="Continue a text with a model of counted letters.",
            command=f"{_HERE}.command:command",
        )
    ]


@hookimpl
def modelpress_libraries() -> list[LibrarySpec]:
    return [
        LibrarySpec(
            name="example-letters",
            summary="A library of letters that asks a server for more, unless it is told not to.",
            offline={"EXAMPLE_LETTERS_OFFLINE": "1"},
            check=f"{_HERE}.look:look",
        )
    ]
