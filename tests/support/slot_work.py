"""Work for the slots of an executor: small generators that another process can import."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from trimtab_trainer.errors import DivergedError, PreemptedError, UserError
from trimtab_trainer.execution._base import TeamMember

__all__ = [
    "ToyBench",
    "count",
    "exhaust_memory",
    "fail_alone",
    "hang",
    "hold",
    "hold_leader",
    "hold_or_save",
    "import_module",
    "introduce",
    "make_broken_bench",
    "observe",
    "raise_error",
    "resist",
    "return_unpicklable",
    "scribble",
    "sum_ranks",
]

_STEP_SECONDS = 0.05

Steps = Generator[object, None, object]


@dataclass(slots=True)
class ToyBench:
    """Counts the pieces of work that saw it."""

    uses: list[int] = field(default_factory=list)


def make_broken_bench() -> ToyBench:
    raise UserError("the data set is not there")


def count(bench: ToyBench, *, to: int) -> Steps:
    bench.uses.append(to)
    yield from range(to)
    return {"steps": to, "uses": len(bench.uses)}


def observe(bench: ToyBench) -> Steps:
    yield "ready"
    bench.uses.append(0)
    return {
        "threads": torch.get_num_threads(),
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "path": sys.path[0],
        "pid": os.getpid(),
        "uses": len(bench.uses),
    }


def raise_error(_: ToyBench, *, kind: str) -> Steps:
    yield "about to fail"
    errors: dict[str, BaseException] = {
        "own": DivergedError("loss is nan at step 3"),
        "user": KeyError("no such column"),
        "cuda": torch.OutOfMemoryError("CUDA out of memory"),
        "memory": MemoryError(),
        "allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        "exit": SystemExit(3),
        "long": ValueError("line\n" * 200),
    }
    raise errors[kind]


def exhaust_memory(_: ToyBench) -> Steps:
    yield torch.empty(2**60, dtype=torch.uint8)
    return None


def import_module(_: ToyBench, *, name: str) -> Steps:
    yield "importing"
    return __import__(name).VALUE


def hold(_: ToyBench) -> Steps:
    """Never end; each step lets the other slots have a turn."""
    while True:
        yield "still here"


def hold_or_save(_: ToyBench, *, path: Path, limit: int) -> Steps:
    """Count up from what is stored; store it when the machine is taken away."""
    done = int(path.read_text()) if path.exists() else 0
    first = done
    try:
        while done < limit:
            yield done
            done += 1
            time.sleep(_STEP_SECONDS)  # or steps would come faster than they are heard
    except PreemptedError:
        path.write_text(str(done))
        raise
    return first


def scribble(_: ToyBench, *, path: Path) -> Steps:
    """Never end, and write down that it was closed."""
    try:
        while True:
            yield "still here"
    finally:
        path.write_text("closed")


def resist(_: ToyBench) -> Steps:
    """Refuse to be closed."""
    try:
        while True:
            yield "still here"
    finally:
        raise KeyError("no such file")


def hang(_: ToyBench) -> Steps:
    """Say nothing more and let no other thread of the interpreter run."""
    yield "about to hang"
    ctypes.PyDLL(None).pause()
    return None


def introduce(bench: ToyBench, *, team: TeamMember) -> Steps:
    bench.uses.append(team.rank)
    yield f"rank {team.rank}"
    return {"team": team, "uses": len(bench.uses)}


def sum_ranks(bench: ToyBench, *, team: TeamMember) -> Steps:
    """Meet the others and tell what only all of them together know."""
    bench.uses.append(team.rank)
    _meet(team)
    try:
        told: list[object] = [None] * team.size
        mine = {
            "rank": team.rank,
            "uses": len(bench.uses),
            "pid": os.getpid(),
            "threads": torch.get_num_threads(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        }
        distributed.all_gather_object(told, mine)
        yield team.rank
        return told
    finally:
        distributed.destroy_process_group()


def hold_leader(_: ToyBench, *, team: TeamMember) -> Steps:
    """Never end; only the leader goes on talking."""
    yield team.rank
    while team.rank == 0:
        yield "still here"
    signal.pause()
    return None


def fail_alone(_: ToyBench, *, team: TeamMember, rank: int, how: str) -> Steps:
    """Let one rank fail or die while the others wait for it in a collective call."""
    _meet(team)
    try:
        yield "together"
        if team.rank == rank:
            if how == "dies":
                os._exit(7)
            raise KeyError(how)
        distributed.barrier()
        return None
    finally:
        distributed.destroy_process_group()


def _meet(team: TeamMember) -> None:
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://{team.address}",
        rank=team.rank,
        world_size=team.size,
        timeout=timedelta(seconds=60),
    )


def return_unpicklable(_: ToyBench) -> Steps:
    yield "about to return"
    return count(ToyBench(), to=1)
