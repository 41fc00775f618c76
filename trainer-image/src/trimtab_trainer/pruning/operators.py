"""How channels run through layers with weights, norms and element-wise operations.

Called by `dependency` for each operation of a program. A rule notes which atoms are one, and
returns the labels of the result. What a rule does not understand it freezes.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch
from torch.fx import Node

from trimtab_trainer.pruning.atoms import AtomVector
from trimtab_trainer.pruning.groups import GroupKind
from trimtab_trainer.pruning.walk import Call, Labels, Shape, Value, Walk, shape_of

__all__ = ["LAYER_RULES", "Rule", "find_pattern_rule", "follow_elements", "follow_unknown", "join"]

Rule: TypeAlias = Callable[[Walk, Call], Value]


def follow_unknown(walk: Walk, call: Call) -> Value:
    """Freeze all that goes in, so that what comes out has fixed sizes."""
    for node in call.node.all_input_nodes:
        value = walk.values[node]
        for labels in value if isinstance(value, tuple) else (value,):
            walk.freeze(labels.values())
    return {}


def join(walk: Walk, inputs: Sequence[tuple[Labels, Shape]], result: Shape) -> Labels:
    """Merge the dimensions of tensors that are broadcast with each other.

    Args:
        walk: what is known.
        inputs: labels and shape of each tensor.
        result: shape of the result.
    """
    joined = {}
    for dimension, size in enumerate(result):
        aligned: list[AtomVector | None] = []
        for labels, shape in inputs:
            own = dimension - len(result) + len(shape)
            if own < 0:
                continue
            if shape[own] == size:
                aligned.append(labels.get(own))
            else:
                # One position is repeated along the others, so it must stay.
                walk.freeze_dimensions(labels, [own])
        if (label := walk.merge(aligned)) is not None:
            joined[dimension] = label
    return joined


def follow_elements(walk: Walk, call: Call) -> Value:
    """Merge what an operation on each element by itself takes and gives."""
    if not isinstance(call.node.meta["val"], torch.Tensor):
        return follow_unknown(walk, call)
    inputs = [(walk.labels(node), shape_of(node)) for node in call.node.all_input_nodes]
    return join(walk, inputs, shape_of(call.node))


def _follow_linear(walk: Walk, call: Call) -> Value:
    weight_node: Node = call.arguments["weight"]
    weight = walk.labels(weight_node)
    last = call.rank - 1
    inputs = dict(walk.labels(call.input))
    name = walk.parameters.get(weight_node.name, "")
    # The heads that out_proj reads are not seen in its input, see below.
    if (name, 1) not in walk.head_slots:
        walk.merge([inputs.get(last), weight.get(1)])
    inputs.pop(last, None)
    if (name, 0) in walk.head_slots:
        # Between the projections of attention, sizes follow the heads by its own code.
        walk.add_producer(weight_node, GroupKind.NEURONS, dimension=0, copies=3)
        return inputs
    walk.add_producer(weight_node, GroupKind.NEURONS, dimension=0)
    return inputs | _label(last, _merge_outputs(walk, call, weight.get(0)))


def _follow_convolution(walk: Walk, call: Call) -> Value:
    weight_node: Node = call.arguments["weight"]
    is_transposed = call.name.startswith("conv_transpose")
    weight = walk.freeze_dimensions(walk.labels(weight_node), range(2, len(shape_of(weight_node))))
    channel = call.rank - len(shape_of(weight_node)) + 1
    inputs = dict(walk.labels(call.input))
    label = inputs.pop(channel, None)
    walk.freeze(inputs.values())
    if call.arguments["groups"] > 1:
        outputs = _follow_grouped(walk, call, label, weight, is_transposed=is_transposed)
        producing = 0
    else:
        walk.merge([label, weight.get(0 if is_transposed else 1)])
        producing = 1 if is_transposed else 0
        outputs = weight.get(producing)
    walk.add_producer(weight_node, GroupKind.FILTERS, dimension=producing)
    return _label(channel, _merge_outputs(walk, call, outputs))


def _follow_grouped(
    walk: Walk, call: Call, label: AtomVector | None, weight: Labels, *, is_transposed: bool
) -> AtomVector | None:
    """Make each group of a convolution one unit, from its inputs to its outputs."""
    walk.freeze_dimensions(weight, [1])
    rows = weight.get(0)
    if label is None or rows is None:
        walk.merge([label, rows])
        return None
    groups: int = call.arguments["groups"]
    units = label.reshape(groups, -1)[:, :1]
    walk.atoms.unite(units, label.reshape(groups, -1))
    walk.atoms.unite(units, rows.reshape(groups, -1))
    if not is_transposed:
        return rows
    return np.repeat(units, shape_of(call.arguments["weight"])[1])


def _merge_outputs(walk: Walk, call: Call, outputs: AtomVector | None) -> AtomVector | None:
    bias = call.arguments["bias"]
    return outputs if bias is None else walk.merge([outputs, walk.labels(bias).get(0)])


def _label(dimension: int, label: AtomVector | None) -> dict[int, AtomVector]:
    return {} if label is None else {dimension: label}


def _follow_channel_norm(walk: Walk, call: Call) -> Value:
    return _merge_parameters(walk, call, dimension=1)


def _follow_group_norm(walk: Walk, call: Call) -> Value:
    labels = _merge_parameters(walk, call, dimension=1)
    groups: int = call.arguments["num_groups"]
    if groups > 1 and 1 in labels:
        # Groups that stay whole keep their statistics.
        grouped = labels[1].reshape(groups, -1)
        walk.atoms.unite(grouped[:, :1], grouped)
    return labels


def _follow_layer_norm(walk: Walk, call: Call) -> Value:
    if len(call.arguments["normalized_shape"]) > 1:
        return follow_unknown(walk, call)
    return _merge_parameters(walk, call, dimension=call.rank - 1)


def _follow_prelu(walk: Walk, call: Call) -> Value:
    if shape_of(call.arguments["weight"]) == (1,):
        return walk.labels(call.input)
    return _merge_parameters(walk, call, dimension=1)


def _merge_parameters(walk: Walk, call: Call, *, dimension: int) -> Labels:
    """Merge a dimension with the vectors that a layer holds for it."""
    labels = dict(walk.labels(call.input))
    held = [
        walk.labels(node).get(0)
        for name in ("weight", "bias", "running_mean", "running_var")
        if isinstance(node := call.arguments.get(name), Node)
    ]
    # A norm without vectors knows its width only as a number that no cut changes.
    label = walk.merge([labels.pop(dimension, None), *(held or [None])])
    return labels | _label(dimension, label)


def _follow_softmax(walk: Walk, call: Call) -> Value:
    return walk.freeze_dimensions(walk.labels(call.input), [call.dimension()])


def _follow_reduction(walk: Walk, call: Call) -> Value:
    given = call.arguments.get("dim")
    if not given and given != 0:
        return follow_unknown(walk, call)
    reduced = {dim % call.rank for dim in ([given] if isinstance(given, int) else given)}
    labels = walk.freeze_dimensions(walk.labels(call.input), reduced)
    if call.arguments["keepdim"]:
        return labels
    return {dim - sum(gone < dim for gone in reduced): label for dim, label in labels.items()}


def _follow_spatial(walk: Walk, call: Call) -> Value:
    spatial = int(call.name.removesuffix("d")[-1])
    labels = walk.freeze_dimensions(walk.labels(call.input), range(call.rank - spatial, call.rank))
    given = call.node.meta["val"]
    return (labels,) * len(given) if isinstance(given, tuple) else labels


_ELEMENTS = (
    "_to_copy", "alias", "alpha_dropout", "clone", "contiguous", "copy", "detach", "dropout",
    "expand", "expand_as", "feature_dropout", "hardswish", "log_sigmoid", "ones_like", "to",
    "where", "zeros_like",
)  # fmt: skip
"""Operations that treat each element by itself and whose operators are not marked so."""

LAYER_RULES: Mapping[str, Rule] = MappingProxyType(
    dict.fromkeys(_ELEMENTS, follow_elements)
    | dict.fromkeys(("conv1d", "conv2d", "conv3d"), _follow_convolution)
    | dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _follow_convolution
    )
    | dict.fromkeys(("batch_norm", "instance_norm"), _follow_channel_norm)
    | dict.fromkeys(("layer_norm", "rms_norm"), _follow_layer_norm)
    | dict.fromkeys(("log_softmax", "softmax"), _follow_softmax)
    | dict.fromkeys(("amax", "amin", "mean", "sum"), _follow_reduction)
    | {
        "group_norm": _follow_group_norm,
        "linear": _follow_linear,
        "prelu": _follow_prelu,
    }
)
"""Name of an operation → its rule."""

_SPATIAL = re.compile(r"(adaptive_)?(avg|max)_pool[123]d|upsample_\w+[123]d")


def find_pattern_rule(tags: Collection[torch.Tag], name: str) -> Rule:
    """Return the rule of an operation that is not listed by its name."""
    if _SPATIAL.fullmatch(name):
        return _follow_spatial
    if torch.Tag.pointwise in tags:
        return follow_elements
    return follow_unknown
