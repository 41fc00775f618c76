"""Stage benchmark: how the exported files are timed."""

from typing import Annotated

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel

__all__ = ["Benchmark"]


class Benchmark(ApiModel):
    """Timing of baseline and candidates, in turn, in their own runtime."""

    warmup: Annotated[int, Field(ge=0, le=100000)] = 10
    """Runs of each file that are not counted; at least one is made."""
    repeats: Annotated[int, Field(ge=5, le=1000000)] = 100
    """Runs of each file that are counted, at least; quick models run on until they have lasted 6 ms per repeat, 0.3 s at most."""
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 1800
    """Longest time per target, in seconds."""
