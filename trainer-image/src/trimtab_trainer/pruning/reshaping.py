"""How channels run through operations that move, cut and join the dimensions of tensors.

Called by `dependency` like the rules in `operators`. A dimension that is taken apart is frozen:
which part of it the network's code would shrink cannot be read from a program of fixed sizes.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from trimtab_trainer.pruning.atoms import FROZEN, AtomVector
from trimtab_trainer.pruning.operators import Rule, follow_unknown, join
from trimtab_trainer.pruning.walk import Call, Labels, Shape, Value, Walk, shape_of

__all__ = ["SHAPE_RULES"]


def _follow_view(walk: Walk, call: Call) -> Value:
    before, after = shape_of(call.input), shape_of(call.node)
    kept = {}
    for dimension, label in walk.labels(call.input).items():
        inner = math.prod(before[dimension + 1 :])
        target, stride = _find_dimension(after, inner)
        if inner % stride == 0 and stride * after[target] % (len(label) * inner) == 0:
            # Whole, and maybe merged with dimensions behind it and before it.
            repeated = np.repeat(label, inner // stride)
            kept[target] = np.tile(repeated, after[target] // len(repeated))
        else:
            walk.freeze([label])
    return kept


def _find_dimension(shape: Shape, offset: int) -> tuple[int, int]:
    """Return the dimension in which elements so far apart differ, and its stride."""
    strides = [math.prod(shape[dim + 1 :]) for dim in range(len(shape))]
    return next((dim, stride) for dim, stride in enumerate(strides) if stride <= offset)


def _follow_permute(walk: Walk, call: Call) -> Value:
    order = _read_order(call)
    labels = walk.labels(call.input)
    return {to: labels[origin] for to, origin in enumerate(order) if origin in labels}


def _read_order(call: Call) -> list[int]:
    if "dims" in call.arguments:
        return [dim % call.rank for dim in call.arguments["dims"]]
    order = list(range(call.rank))
    swapped = [call.dimension(name) for name in call.arguments if name != "input"]
    if not swapped:
        return order[::-1]
    order[swapped[0]], order[swapped[1]] = order[swapped[1]], order[swapped[0]]
    return order


def _follow_unsqueeze(walk: Walk, call: Call) -> Value:
    new = int(call.arguments["dim"]) % (call.rank + 1)
    return _insert(walk.labels(call.input), new)


def _follow_squeeze(walk: Walk, call: Call) -> Value:
    shape = shape_of(call.input)
    given = call.arguments.get("dim", range(call.rank))
    asked = [dim % call.rank for dim in ([given] if isinstance(given, int) else given)]
    gone = sorted((dim for dim in asked if shape[dim] == 1), reverse=True)
    labels = walk.freeze_dimensions(walk.labels(call.input), gone)
    for dimension in gone:
        labels = _remove(labels, dimension)
    return labels


def _follow_select(walk: Walk, call: Call) -> Value:
    dimension = call.dimension()
    labels = _remove(walk.freeze_dimensions(walk.labels(call.input), [dimension]), dimension)
    given = call.node.meta["val"]
    return (labels,) * len(given) if isinstance(given, (tuple, list)) else labels


def _remove(labels: Labels, dimension: int) -> Labels:
    return {dim - (dim > dimension): label for dim, label in labels.items()}


def _insert(labels: Labels, dimension: int) -> Labels:
    return {dim + (dim >= dimension): label for dim, label in labels.items()}


def _follow_slice(walk: Walk, call: Call) -> Value:
    dimension = call.dimension()
    labels = walk.labels(call.input)
    if shape_of(call.node) == shape_of(call.input):
        return labels
    return walk.freeze_dimensions(labels, [dimension])


def _follow_split(walk: Walk, call: Call) -> Value:
    dimension = call.dimension()
    parts = call.node.meta["val"]
    labels = walk.labels(call.input)
    label = labels.get(dimension)
    if label is None:
        return (labels,) * len(parts)
    rest = {dim: other for dim, other in labels.items() if dim != dimension}
    if len({part.shape[dimension] for part in parts}) > 1:
        walk.freeze([label])
        return (rest,) * len(parts)
    # Parts stay equal, and start where they should, if all lose the same positions.
    pieces = label.reshape(len(parts), -1)
    walk.atoms.unite(pieces[:1], pieces)
    return tuple(rest | {dimension: piece} for piece in pieces)


def _follow_cat(walk: Walk, call: Call) -> Value:
    nodes = call.tensors
    rank = len(shape_of(call.node))
    dimension = int(call.arguments["dim"]) % rank
    if any(len(shape_of(node)) != rank for node in nodes):
        return follow_unknown(walk, call)
    inputs = [walk.labels(node) for node in nodes]
    others = [
        ({dim: label for dim, label in labels.items() if dim != dimension}, shape_of(node))
        for labels, node in zip(inputs, nodes, strict=True)
    ]
    joined = dict(join(walk, others, shape_of(call.node)))
    if any(dimension in labels for labels in inputs):
        joined[dimension] = np.concatenate(
            [
                labels.get(dimension, _make_fixed(shape_of(node)[dimension]))
                for labels, node in zip(inputs, nodes, strict=True)
            ]
        )
    return joined


def _make_fixed(count: int) -> AtomVector:
    return np.full(count, FROZEN, dtype=np.int64)


def _follow_stack(walk: Walk, call: Call) -> Value:
    nodes = call.tensors
    rank = len(shape_of(nodes[0]))
    joined = join(walk, [(walk.labels(node), shape_of(node)) for node in nodes], shape_of(nodes[0]))
    return _insert(joined, int(call.arguments["dim"]) % (rank + 1))


def _follow_pad(walk: Walk, call: Call) -> Value:
    pads: Sequence[int] = call.arguments["pad"]
    padded = [call.rank - 1 - index // 2 for index, amount in enumerate(pads) if amount != 0]
    return walk.freeze_dimensions(walk.labels(call.input), padded)


def _follow_flip(walk: Walk, call: Call) -> Value:
    dims = call.arguments["dims"] or range(call.rank)
    return walk.freeze_dimensions(walk.labels(call.input), [dim % call.rank for dim in dims])


def _follow_new(walk: Walk, call: Call) -> Value:
    """Return that a tensor that takes nothing but its type from another has fixed sizes."""
    del walk, call
    return {}


SHAPE_RULES: Mapping[str, Rule] = MappingProxyType(
    dict.fromkeys(("flatten", "reshape", "unflatten", "view", "_unsafe_view"), _follow_view)
    | dict.fromkeys(("permute", "swapaxes", "swapdims", "t", "transpose"), _follow_permute)
    | dict.fromkeys(("select", "unbind"), _follow_select)
    | dict.fromkeys(("narrow", "slice"), _follow_slice)
    | dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), _follow_split)
    | dict.fromkeys(("cat", "concat", "concatenate"), _follow_cat)
    | dict.fromkeys(("flip", "roll"), _follow_flip)
    | dict.fromkeys(("new_empty", "new_full", "new_ones", "new_zeros"), _follow_new)
    | {
        "pad": _follow_pad,
        "squeeze": _follow_squeeze,
        "stack": _follow_stack,
        "unsqueeze": _follow_unsqueeze,
    }
)
"""Name of an operation → its rule."""
