"""Work for the slots of an executor: small generators that another process can import."""

import os
import sys
from collections.abc import Generator
from dataclasses import dataclass, field

import torch

from trimtab_trainer.errors import DivergedError, UserError

__all__ = [
    "ToyBench",
    "count",
    "die",
    "exhaust_memory",
    "hold",
    "import_module",
    "make_broken_bench",
    "observe",
    "raise_error",
    "return_unpicklable",
]

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


def observe(_: ToyBench) -> Steps:
    yield "ready"
    return {
        "threads": torch.get_num_threads(),
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "path": sys.path[0],
        "pid": os.getpid(),
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


def die(_: ToyBench) -> Steps:
    yield "last words"
    os._exit(7)


def return_unpicklable(_: ToyBench) -> Steps:
    yield "about to return"
    return count(ToyBench(), to=1)
