"""SEAM of ray: warm actors for each slot, on a local Ray or on a cluster's.

Called by the pipeline. An actor loads its bench with the first work and keeps it, so a further
piece of work costs a millisecond. Which work runs where and what a failure means is left to the
callers, what runs inside an actor to `slot_process`, Ray's start and end to `ray_session`; nobody
else imports ray.
"""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, final

import ray
from ray.exceptions import (
    ActorUnavailableError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
)
from typing_extensions import override

from trimtab_trainer.execution._base import (
    AbstractExecutor,
    Done,
    Event,
    Failure,
    Progress,
    TeamMember,
    WorkFunction,
)
from trimtab_trainer.execution.failures import (
    describe_failure,
    describe_killed_worker,
    describe_lost_worker,
    describe_preempted_worker,
)
from trimtab_trainer.execution.ray_session import (
    find_leaving_machines,
    name_machine,
    start_local_ray,
)
from trimtab_trainer.execution.shares import Machines, share_cores, share_gpus
from trimtab_trainer.execution.slot_process import SlotProcess
from trimtab_trainer.execution.team import TeamWatch

__all__ = ["RayExecutor"]

_STARTS = 3
"""So often a piece of work is placed when its actor does not answer, before it counts as lost."""

_LOOK_SECONDS = 1.0
"""How often it is asked whether machines of a cluster are being taken away."""

_CONTROL = "control"
"""Calls of this group are heard while work runs; work itself still comes one at a time."""

# Ray's type of a handle does not know methods that stream.
_Actor: TypeAlias = Any
_Stream: TypeAlias = "ray.ObjectRefGenerator[Any]"


@dataclass(frozen=True, slots=True)
class _Order:
    """A piece of work as it was asked for."""

    number: int
    work: WorkFunction
    arguments: Mapping[str, object]
    team_size: int | None
    """None: the leader alone does it, and hears of no team."""


@dataclass(slots=True)
class _Running:
    """A piece of work in the processes of a slot."""

    order: _Order
    streams: dict[int, _Stream]
    """Rank → what the member that still runs yields."""
    watch: TeamWatch
    starts: int
    heard: bool = False
    leaving: bool = False
    """Whether it was told that a machine of it is being taken away."""


@final
class RayExecutor(AbstractExecutor):
    """Slots that are processes of Ray: a local one that ends with them, or a cluster's.

    Args:
        slots: Pieces of work that run at once.
        make_bench: Called in a slot's process before its first work; travels with each piece of
            work, so it should be small. Its failure is that work's, and the next tries again.
        threads_per_slot: Threads that a slot computes with unless its work says otherwise; its
            processes divide them.
        code_dir: Folder of the user's code, first on the path of every slot.
        workers_per_slot: Processes of a slot.
        gpus: GPUs to share among all processes; 0 leaves them unclaimed.
        machines: Those of the cluster that this process joined, to spread the processes over;
            None starts a local Ray.

    Raises:
        EnvironmentMissingError: Ray cannot start here.
    """

    def __init__(
        self,
        *,
        slots: int,
        make_bench: Callable[[], object],
        threads_per_slot: int,
        code_dir: Path | None,
        workers_per_slot: int = 1,
        gpus: int = 0,
        machines: Machines | None = None,
    ) -> None:
        self._make_bench = make_bench
        self._threads = max(1, threads_per_slot // workers_per_slot)
        self._code_dir = code_dir
        self._gpu_share = share_gpus(gpus, slots * workers_per_slot)
        self._cpu_share = 1
        self._numbers = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._places: defaultdict[int, dict[int, Any]] = defaultdict(dict)
        """Slot → rank → its machine's name, which is there once the process is."""
        self._next_look = math.inf if machines is None else 0.0
        if machines is None:
            start_local_ray(cpus=slots * workers_per_slot, gpus=gpus, threads=self._threads)
        else:
            # So many cores that no more than its share of processes fits on a machine.
            processes = slots * workers_per_slot
            self._cpu_share = share_cores(machines.cores, machines.count, processes)
        self._actors = [
            [self._start_actor(slot, rank) for rank in range(workers_per_slot)]
            for slot in range(slots)
        ]

    @property
    @override
    def slots(self) -> int:
        return len(self._actors)

    @property
    @override
    def workers_per_slot(self) -> int:
        return len(self._actors[0])

    @property
    @override
    def gpus_per_slot(self) -> float:
        return self._gpu_share * self.workers_per_slot

    @override
    def submit(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self._require_idle(slot)
        self._start(slot, _Order(next(self._numbers), work, arguments, team_size=None))

    @override
    def submit_team(self, slot: int, work: WorkFunction, /, **arguments: object) -> None:
        self._require_idle(slot)
        size = self.workers_per_slot
        self._start(slot, _Order(next(self._numbers), work, arguments, team_size=size))

    def _require_idle(self, slot: int) -> None:
        self._require_slot(slot)
        if slot in self._running:
            raise ValueError(f"slot {slot} must be idle but is busy")

    def _start(self, slot: int, order: _Order, starts: int = 1) -> None:
        size = order.team_size or 1
        actors = self._actors[slot][:size]
        # Nobody waits for the address here: Ray hands it on once the leader has chosen it.
        find_host = ray.util.get_node_ip_address
        address = actors[0].choose_address.remote(find_host) if size > 1 else ""
        streams = {
            rank: actor.run.options(num_returns="streaming").remote(
                order.number,
                self._make_bench,
                order.work,
                order.arguments,
                member=TeamMember(rank, size, address="") if order.team_size else None,
                address=address,
            )
            for rank, actor in enumerate(actors)
        }
        self._running[slot] = _Running(order, streams, TeamWatch(slot, size), starts)

    @override
    def events(self, timeout: float | None = None) -> Iterator[Event]:
        limit = None if timeout is None else time.monotonic() + timeout
        something = False
        while self._running and not something:
            self._look_for_leaving_machines()
            for slot, rank, stream in self._wait(limit):
                # The consumer may have stopped or refilled a slot meanwhile.
                running = self._running.get(slot)
                if running is not None and running.streams.get(rank) is stream:
                    event = self._take(slot, rank, running)
                    if event is not None:
                        something = True
                        yield event
            for slot, running in list(self._running.items()):
                # Here it is a team whose members were waited for long enough.
                done = self._conclude(slot, running)
                if done is not None:
                    something = True
                    yield done
            if limit is not None and time.monotonic() >= limit:
                return

    def _wait(self, limit: float | None) -> list[tuple[int, int, _Stream]]:
        """Wait until a process has something to say, a team's patience ends, or the limit."""
        waiting = [stream for _, _, stream in self._list_streams()]
        limits = [running.watch.deadline for running in self._running.values()]
        limits += [limit, self._next_look]
        times = [at - time.monotonic() for at in limits if at is not None]
        timeout = max(0.0, min(times)) if min(times) < math.inf else None
        if not waiting or not ray.wait(waiting, num_returns=1, timeout=timeout)[0]:
            return []
        # The first one that is ready says nothing of the others; without asking for all of them
        # a chatty slot would keep the rest from being heard.
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [entry for entry in self._list_streams() if entry[2] in ready]

    def _list_streams(self) -> list[tuple[int, int, _Stream]]:
        return [
            (slot, rank, stream)
            for slot, running in self._running.items()
            for rank, stream in running.streams.items()
        ]

    def _take(self, slot: int, rank: int, running: _Running) -> Event | None:
        """Hear the next thing that a process says; None where it is of no concern to others."""
        try:
            item = ray.get(next(running.streams[rank]))
        except ActorUnavailableError as error:
            # The process lives and may still do the work, unheard. Nothing of it was told yet,
            # so it can be done anew without anyone noticing.
            if not running.heard and running.starts < _STARTS:
                self.stop(slot)
                self._start(slot, running.order, running.starts + 1)
                return None
            item = Done(slot, None, self._describe(error, running))
        except RayError as error:
            item = Done(slot, None, self._describe(error, running))
        if not isinstance(item, Done):
            running.heard = True
            return Progress(slot, item)
        del running.streams[rank]
        running.watch.note(rank, item, time.monotonic())
        return self._conclude(slot, running)

    def _describe(self, error: RayError, running: _Running) -> Failure:
        if isinstance(error, OutOfMemoryError):
            return describe_killed_worker(str(error))
        if isinstance(error, RayTaskError):
            # What the work yielded or returned cannot travel between processes.
            return describe_failure(error.cause, code_dir=self._code_dir)
        if running.leaving:
            return describe_preempted_worker(str(error))
        return describe_lost_worker(str(error))

    def _look_for_leaving_machines(self) -> None:
        """Take processes off machines that are being taken away; one at work may store it first."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        leaving = find_leaving_machines()
        for slot in range(self.slots) if leaving else ():
            running = self._running.get(slot)
            size = 0 if running is None else running.order.team_size or 1
            lost = [
                rank
                for rank in range(self.workers_per_slot)
                if self._find_place(slot, rank) in leaving
            ]
            for rank in lost:
                if rank >= size:
                    self._replace_actor(slot, rank)
            if running is not None and not running.leaving and any(rank < size for rank in lost):
                running.leaving = True
                preempt = self._actors[slot][0].preempt.options(concurrency_group=_CONTROL)
                preempt.remote(running.order.number)

    def _find_place(self, slot: int, rank: int) -> str | None:
        place = self._places[slot][rank]
        if not ray.wait([place], timeout=0)[0]:
            return None
        try:
            name: str = ray.get(place)
        except RayError:
            return None
        return name

    def _conclude(self, slot: int, running: _Running) -> Done | None:
        if self._running.get(slot) is not running:
            return None
        done = running.watch.conclude(time.monotonic())
        if done is not None:
            del self._running[slot]
            for rank in running.watch.find_unfit():
                self._replace_actor(slot, rank)
        return done

    @override
    def is_waiting(self, slot: int) -> bool:
        self._require_slot(slot)
        running = self._running.get(slot)
        if running is None:
            return False
        refs = [self._places[slot][rank] for rank in range(running.order.team_size or 1)]
        _, missing = ray.wait(refs, num_returns=len(refs), timeout=0)
        return bool(missing)

    @override
    def interrupt(self, slot: int) -> None:
        self._require_slot(slot)
        running = self._running.get(slot)
        if running is not None:
            interrupt = self._actors[slot][0].interrupt.options(concurrency_group=_CONTROL)
            interrupt.remote(running.order.number)

    @override
    def stop(self, slot: int) -> None:
        self._require_slot(slot)
        running = self._running.pop(slot, None)
        used = self.workers_per_slot if running is None else running.order.team_size or 1
        for rank in range(used):
            self._replace_actor(slot, rank)

    def _replace_actor(self, slot: int, rank: int) -> None:
        ray.kill(self._actors[slot][rank])
        self._actors[slot][rank] = self._start_actor(slot, rank)

    def _start_actor(self, slot: int, rank: int) -> _Actor:
        # Ray's types do not know concurrency groups, hence the mapping.
        options: dict[str, Any] = {"concurrency_groups": {_CONTROL: 1}, "max_restarts": 0}
        actor = ray.remote(num_cpus=self._cpu_share, num_gpus=self._gpu_share, **options)(
            SlotProcess
        )
        started: _Actor = actor.remote(slot, self._threads, self._code_dir)
        self._places[slot][rank] = started.locate.remote(name_machine)
        return started

    @override
    def close(self) -> None:
        self._running.clear()
        ray.shutdown()
