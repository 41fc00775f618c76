"""Cuts: which channels a pruned model kept, as records that rebuild it from a dense one.

Made by `cutter`, stored beside the weights of a pruned model, and replayed on a freshly built
model before such weights are loaded. A replay needs neither an example input nor a trace.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.pruning.layers import make_cuttable, narrow_tensor, update_widths

__all__ = ["Cut", "merge_cuts", "parse_cuts", "render_cuts", "replay_cuts"]


@dataclass(frozen=True, slots=True)
class Cut:
    """One dimension of one tensor after pruning."""

    tensor: str
    """Qualified name of the parameter or buffer in the model."""
    dimension: int
    """The dimension that shrank."""
    kept: tuple[int, ...]
    """Positions that stay, ascending, counted before the cut."""


def replay_cuts(model: nn.Module, cuts: Iterable[Cut]) -> None:
    """Remove physically, in place, what these cuts do not keep.

    Multi-head attention that is cut becomes another module with tensors of the same names.

    Args:
        model: the model as it was before the cuts; its parameters are replaced by narrower
            ones, so that optimizers must be made afterwards.
        cuts: at most one of each tensor and dimension.

    Raises:
        CheckpointRefusedError: a cut names a tensor or position that the model does not have.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    by_module: dict[str, list[Cut]] = defaultdict(list)
    for cut in cuts:
        _check_cut(modules, cut)
        by_module[cut.tensor.rpartition(".")[0]].append(cut)
    for name, of_module in by_module.items():
        make_cuttable(model, name)
        module = model.get_submodule(name)
        for cut in of_module:
            narrow_tensor(module, cut.tensor.rpartition(".")[2], cut.dimension, cut.kept)
        update_widths(module)


def merge_cuts(first: Sequence[Cut], then: Sequence[Cut]) -> tuple[Cut, ...]:
    """Combine the cuts of two steps into those that lead from the first model to the last.

    Args:
        first: what the first step kept of the dense model.
        then: what the second step kept of the first step's model.
    """
    merged = {(cut.tensor, cut.dimension): cut for cut in first}
    for cut in then:
        before = merged.get((cut.tensor, cut.dimension))
        kept = cut.kept if before is None else tuple(before.kept[index] for index in cut.kept)
        merged[cut.tensor, cut.dimension] = Cut(cut.tensor, cut.dimension, kept)
    return tuple(merged.values())


def render_cuts(cuts: Iterable[Cut]) -> str:
    """Return the cuts as JSON text for the metadata of a checkpoint.

    Many tensors keep the same positions, so the text is an object: positions as runs, such as
    "0-15,20", → list of tensor and dimension.
    """
    by_kept: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for cut in cuts:
        by_kept[_render_runs(cut.kept)].append((cut.tensor, cut.dimension))
    return json.dumps(by_kept, separators=(",", ":"))


def parse_cuts(text: str) -> tuple[Cut, ...]:
    """Read what `render_cuts` wrote.

    Raises:
        CheckpointRefusedError: the text is not that.
    """
    try:
        return tuple(
            _make_cut(tensor, dimension, kept)
            for kept, places in ((_parse_runs(runs), at) for runs, at in json.loads(text).items())
            for tensor, dimension in places
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointRefusedError(
            f"the cuts of a pruned model cannot be read: {type(error).__name__}: {error}; "
            "expected a JSON object of positions, each with a list of tensor and dimension"
        ) from error


def _check_cut(modules: Mapping[str, nn.Module], cut: Cut) -> None:
    path, _, name = cut.tensor.rpartition(".")
    tensor = getattr(modules.get(path), name, None)
    if not isinstance(tensor, torch.Tensor) or cut.dimension >= tensor.dim():
        raise CheckpointRefusedError(
            f"the cuts name dimension {cut.dimension} of {cut.tensor!r}, which this model does "
            "not have; expected the model that was pruned"
        )
    size = tensor.shape[cut.dimension]
    if cut.kept[-1] >= size:
        raise CheckpointRefusedError(
            f"the cuts keep position {cut.kept[-1]} of dimension {cut.dimension} of "
            f"{cut.tensor!r}, which has {size}; expected the model that was pruned"
        )


def _render_runs(positions: Sequence[int]) -> str:
    """Write ascending numbers as runs such as 0-15,20,22-31."""
    starts = [
        index
        for index, position in enumerate(positions)
        if index == 0 or positions[index - 1] != position - 1
    ]
    ends = [*starts[1:], len(positions)]
    runs = [(positions[start], positions[end - 1]) for start, end in zip(starts, ends, strict=True)]
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _parse_runs(text: str) -> tuple[int, ...]:
    kept: list[int] = []
    for run in text.split(","):
        low, _, high = run.partition("-")
        positions = range(int(low), int(high or low) + 1)
        if not positions or (kept and positions[0] <= kept[-1]):
            raise ValueError(f"positions must ascend but got {run!r} in {text!r}")
        kept.extend(positions)
    return tuple(kept)


def _make_cut(tensor: str, dimension: int, kept: tuple[int, ...]) -> Cut:
    if int(dimension) < 0:
        raise ValueError(f"a dimension must be at least 0 but got {dimension}")
    return Cut(str(tensor), int(dimension), kept)
