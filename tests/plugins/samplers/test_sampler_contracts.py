"""Every sampler keeps the contract."""

from __future__ import annotations

from modelpress.testing import SamplerContract


class TestSequential(SamplerContract):
    sampler_name = "sequential"


class TestRandom(SamplerContract):
    sampler_name = "random"


class TestTpe(SamplerContract):
    sampler_name = "tpe"
    options = {"n_startup_trials": 3}  # noqa: RUF012


class TestNsga2(SamplerContract):
    sampler_name = "nsga2"
    options = {"population_size": 4}  # noqa: RUF012
