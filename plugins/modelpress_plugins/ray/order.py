"""What the run, the cluster's desk and its workers tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HEAD = "node:__internal_head__"
"""The resource of a cluster's head node, where Ray keeps its own state: what is there is lost with the
cluster alone."""
JOINED = "MODELPRESS_RAY"
"""The environment variable that tells a job's process how to reach its cluster (JSON)."""
Kind = Literal["done", "died", "failed", "cancelled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a worker is: jobs of one shape may follow each other in it.

    memory: bytes that Ray keeps free for it; 0 for no more than is there
    resources: name and amount of the cluster's own
    spreads: whether its jobs are done by several processes that find room for themselves in the cluster
    code:   digest of the code that its jobs bring along: a process imports a module once
    variables: of its environment, beside what any Python needs. In no log, since repr leaves them out
    """

    cpus: float = 1
    gpus: float = 0
    memory: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    spreads: bool = False
    code: str = ""
    variables: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    hf_token: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job for the cluster.

    folder:  that of the job, where files are shared; else empty, and the store has it
    inputs:  where files are not shared: name under inputs/ -> name in the store, empty for a folder of the
             machine that jobs write to
    retries: how often it is begun again when its process or machine dies
    """

    id: str
    shape: Shape
    folder: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. `done`: its worker answered; `failed`: the cluster could not have it done."""

    kind: Kind
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One machine of the cluster. resources: all that it has, by name; memory in bytes."""

    id: str
    resources: Mapping[str, float]
