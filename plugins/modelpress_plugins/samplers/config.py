"""Options of the samplers that learn. They stand beside the keys of `search_strategy`."""

from __future__ import annotations

from pydantic import Field

from modelpress.api import Options


class TpeOptions(Options):
    """Tree-structured Parzen estimator."""

    n_startup_trials: int = Field(
        default=10, ge=1, description="Candidates that are drawn by chance before it learns from them."
    )
    multivariate: bool = Field(
        default=True, description="Whether it learns which values do well together, not each alone."
    )


class Nsga2Options(Options):
    """Non-dominated sorting genetic algorithm II."""

    population_size: int = Field(default=20, ge=2, description="Candidates of a generation.")
    mutation_prob: float | None = Field(
        default=None, ge=0, le=1, description="Chance that a value is drawn anew. Unset: one in all axes."
    )
