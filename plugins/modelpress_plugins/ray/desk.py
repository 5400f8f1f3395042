"""The desk: an actor on the cluster's head node that has jobs done by workers, and begins again what died.

It outlives the process that asked for a job. Workers of one shape do one job after another, so that what they
have imported is imported once; they go when they have been idle, and all of them with the desk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

from modelpress.api import installed_versions
from modelpress_plugins.ray.node import NodeWorker
from modelpress_plugins.ray.order import HEAD, Order, Outcome, Shape
from modelpress_plugins.ray.transport import Store

_WAIT_FOR_SEAT = 1.0
"""Seconds that a new worker waits for room before idle ones of other shapes are ended for it."""
_LOOK_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class _Seat:
    """A worker. since: when it became idle"""

    actor: Any
    shape: Shape
    node: str = ""
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Pool:
    """The workers of one shape. coming: of those that were asked for and are not there yet; wanting: jobs"""

    free: asyncio.Queue[_Seat | Outcome] = field(default_factory=asyncio.Queue)
    coming: list[_Seat] = field(default_factory=list)
    wanting: int = 0


@dataclass(slots=True)
class _Job:
    order: Order
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Outcome | None = None
    seat: _Seat | None = None
    cancelled: bool = False


class Desk:
    """storage: folder on its machine for what jobs are given and make, where files are not shared
    idle: seconds after which a worker without work ends, and a hundred times as many for the desk"""

    def __init__(self, storage: str, idle: float) -> None:
        self._idle = idle
        self._store = (
            ray.remote(Store).options(num_cpus=0, max_concurrency=16, resources={HEAD: 0.001}).remote(storage)
        )
        self._jobs: dict[str, _Job] = {}
        self._pools: dict[Shape, _Pool] = {}
        self._asked = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cleaning = False

    async def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed in the cluster's Python."""
        self._note()
        return installed_versions(names)

    async def store(self) -> Any:
        """The actor that keeps files."""
        self._note()
        return self._store

    async def submit(self, order: Order) -> None:
        """Have a job done; nothing new for one that was submitted before."""
        self._note()
        if order.id not in self._jobs:
            job = self._jobs[order.id] = _Job(order)
            self._spawn(self._see_through(job))

    async def wait(self, id: str, seconds: float) -> Outcome | None:
        """How a job ended, or None when it has not ended within so many seconds."""
        self._note()
        job = self._jobs.get(id)
        if job is None:
            return Outcome("unknown")
        with suppress(TimeoutError):
            await asyncio.wait_for(job.ended.wait(), seconds)
        return job.outcome

    async def cancel(self, id: str) -> None:
        """End a job, and return when it has ended."""
        self._note()
        job = self._jobs.get(id)
        if job is None or job.outcome:
            return
        job.cancelled = True
        if job.seat is None:
            self._end_job(job, Outcome("cancelled"))  # it waits for room
            return
        with suppress(RayError):
            await job.seat.actor.cancel.remote(id)
        await job.ended.wait()

    async def rest(self) -> None:
        """Whoever asked has nothing more to ask: idle workers end at once."""
        for pool in self._pools.values():
            self._end_idle(pool, 0)

    def _note(self) -> None:
        self._asked = time.monotonic()
        if not self._cleaning:
            self._cleaning = True
            self._spawn(self._clean())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, job: _Job) -> None:
        outcome, avoid = Outcome("cancelled"), ""
        for _ in range(job.order.retries + 1):
            outcome = await self._try(job, avoid)
            if job.cancelled or outcome.kind != "died":
                break
            avoid = job.seat.node if job.seat else ""
        self._end_job(job, Outcome("cancelled") if job.cancelled else outcome)

    async def _try(self, job: _Job, avoid: str) -> Outcome:
        seat = await self._take(job.order.shape, avoid)
        if isinstance(seat, Outcome):
            return seat
        job.seat = seat
        if job.cancelled:
            self._leave(seat)
            return Outcome("cancelled")
        try:
            outcome: Outcome = await seat.actor.run.remote(job.order)
        except RayActorError as error:
            await _see_dead(seat.actor)
            return Outcome("died", f"The worker on node {seat.node[:12]} died: {_reason(error)}")
        except RayError as error:
            _kill(seat.actor)
            return Outcome("failed", f"The cluster could not do the job: {_reason(error)}")
        self._leave(seat)
        return outcome

    def _end_job(self, job: _Job, outcome: Outcome) -> None:
        job.outcome = job.outcome or outcome
        job.seat = None
        job.order = Order(id=job.order.id, shape=Shape())  # no secret is kept longer than it is needed
        job.ended.set()

    async def _take(self, shape: Shape, avoid: str) -> _Seat | Outcome:
        pool = self._pools.setdefault(shape, _Pool())
        pool.wanting += 1
        try:
            if pool.free.qsize() + len(pool.coming) < pool.wanting:
                seat = _Seat(_new(shape, self._store, avoid), shape)
                pool.coming.append(seat)
                self._spawn(self._arrive(seat, pool))
            return await pool.free.get()
        finally:
            pool.wanting -= 1

    async def _arrive(self, seat: _Seat, pool: _Pool) -> None:
        """Wait until a new worker has room, made by ending idle ones where there is none."""
        asked = asyncio.ensure_future(_node_of(seat.actor))
        try:
            await asyncio.wait({asked}, timeout=_WAIT_FOR_SEAT)
            if not asked.done():
                for other in self._pools.values():
                    if other is not pool:
                        self._end_idle(other, 0)
            seat.node = await asked
        except RayError as error:
            if seat in pool.coming:  # else it was ended on purpose
                pool.coming.remove(seat)
                if pool.wanting:
                    failed = Outcome("died", f"A worker could not be started: {_reason(error)}")
                    pool.free.put_nowait(failed)
            return
        if seat in pool.coming:
            pool.coming.remove(seat)
            self._leave(seat)

    def _leave(self, seat: _Seat) -> None:
        """A worker has nothing to do: it takes the next job of its shape, or makes room for another shape."""
        pool = self._pools[seat.shape]
        others = any(other.wanting for other in self._pools.values() if other is not pool)
        if others and not pool.wanting:
            _kill(seat.actor)
            return
        seat.since = time.monotonic()
        pool.free.put_nowait(seat)
        needed = max(0, pool.wanting - pool.free.qsize())
        for coming in pool.coming[needed:]:  # who was asked for in vain takes room from others
            pool.coming.remove(coming)
            _kill(coming.actor)

    def _end_idle(self, pool: _Pool, seconds: float) -> None:
        kept: list[_Seat | Outcome] = []
        while not pool.free.empty():
            seat = pool.free.get_nowait()
            if isinstance(seat, _Seat) and time.monotonic() - seat.since >= seconds and not pool.wanting:
                _kill(seat.actor)
            else:
                kept.append(seat)
        for seat in kept:
            pool.free.put_nowait(seat)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, self._idle))
            for pool in self._pools.values():
                self._end_idle(pool, self._idle)
            at_work = any(job.outcome is None for job in self._jobs.values())
            if not at_work and time.monotonic() - self._asked > 100 * self._idle:
                ray.kill(ray.get_runtime_context().current_actor)


def _new(shape: Shape, store: Any, avoid: str) -> Any:
    """A worker that is asked for. avoid: a machine on which one has died, taken only when there is no
    other."""
    strategy = "DEFAULT"
    if avoid:
        strategy = NodeLabelSchedulingStrategy(hard={}, soft={"ray.io/node-id": NotIn(avoid)})
    return (
        ray.remote(NodeWorker)
        .options(
            num_cpus=0 if shape.spreads else shape.cpus,
            num_gpus=0 if shape.spreads else shape.gpus,
            memory=shape.memory or None,
            resources=dict(shape.resources),
            max_concurrency=4,
            max_restarts=0,
            scheduling_strategy=strategy,
        )
        .remote(shape, store)
    )


async def _node_of(actor: Any) -> str:
    return str(await actor.node.remote())


async def _see_dead(actor: Any) -> None:
    """Return when it is certain that it has ended, so that nothing is done twice at once: a machine may only
    be out of reach."""
    _kill(actor)
    while True:
        try:
            await actor.node.remote()
        except ActorDiedError:
            return
        except RayError:
            await asyncio.sleep(1)


def _kill(actor: Any) -> None:
    ray.kill(actor, no_restart=True)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
