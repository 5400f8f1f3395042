"""Ways to search: one after the other, by chance, and by what was learnt (Optuna's TPE and NSGA-II)."""

from __future__ import annotations

from modelpress.api import SamplerSpec, hookimpl

MODELPRESS_API = 1

_OPTUNA = "optuna>=5.0"
_HERE = "modelpress_plugins.samplers"


@hookimpl
def modelpress_samplers() -> list[SamplerSpec]:
    return [
        SamplerSpec(
            name="sequential",
            summary="Every candidate, in the order in which the values are written (grid search).",
            open=f"{_HERE}.plain:sequential",
            aliases=("grid",),
            endless=False,
        ),
        SamplerSpec(
            name="random",
            summary="Candidates by chance, each at most once.",
            open=f"{_HERE}.plain:by_chance",
        ),
        SamplerSpec(
            name="tpe",
            summary="By what the candidates so far have shown: a tree-structured Parzen estimator.",
            open=f"{_HERE}.learning:tpe",
            config=f"{_HERE}.config:TpeOptions",
            requires=(_OPTUNA,),
            extra="search",
        ),
        SamplerSpec(
            name="nsga2",
            summary="By a population that evolves, for several objectives at once (NSGA-II).",
            open=f"{_HERE}.learning:nsga2",
            config=f"{_HERE}.config:Nsga2Options",
            requires=(_OPTUNA,),
            extra="search",
        ),
    ]
