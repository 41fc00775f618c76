"""Groups of coupled channels, read from the program that torch.export gives.

Called by `cutter`. The idea of such groups is that of Fang et al., DepGraph: Towards Any Structural
Pruning, CVPR 2023. Each dimension of each parameter gets atoms, which are followed through every
operation; atoms that must be equal become one unit. What is not understood is never cut.
"""

import operator
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.operator_schemas import get_signature_for_torch_op

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.atoms import Atoms, AtomVector
from trimtab_trainer.pruning.attention import NarrowAttention, is_self_attention
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.grouping import collect_groups
from trimtab_trainer.pruning.groups import ChannelGroup
from trimtab_trainer.pruning.operators import (
    LAYER_RULES,
    find_pattern_rule,
    follow_elements,
    follow_unknown,
)
from trimtab_trainer.pruning.reshaping import SHAPE_RULES
from trimtab_trainer.pruning.walk import Call, Labels, Slot, Value, Walk, shape_of

__all__ = ["find_groups"]

_RULES = {**LAYER_RULES, **SHAPE_RULES}


def find_groups(model: nn.Module, example: torch.Tensor) -> tuple[ChannelGroup, ...]:
    """Find the groups of channels that can be removed from a model.

    Units that reach the output of the model are left out, and so are those that pass through
    something that cannot lose single positions. With the removed units, the statistics of layer
    norms over them change; all else computes what it did when their outputs were not read.

    Args:
        model: left as it is.
        example: an input batch, shape (N, ...) with N at least 2, so that no operation treats the
            batch as a dimension that can be left out.

    Returns:
        The groups in the order of the computation.

    Raises:
        UserError: the model cannot be traced.
    """
    program = _export(model, example)
    atoms = Atoms()
    signature = program.graph_signature
    walk = Walk(
        parameters=_name_tensors(
            model, {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        ),
        head_slots=_make_heads(model, atoms),
        atoms=atoms,
    )
    tied = _find_tied(model)
    for node in program.graph.nodes:
        walk.values[node] = _follow(walk, node, tied)
    return collect_groups(walk.slots, walk.producers, atoms.solve())


def _export(model: nn.Module, example: torch.Tensor) -> ExportedProgram:
    try:
        with in_eval_mode(model), torch.no_grad():
            return torch.export.export(model, (example,), strict=False)
    except Exception as error:
        raise UserError(
            f"the model cannot be traced for pruning with input shape {tuple(example.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _follow(walk: Walk, node: Node, tied: frozenset[str]) -> Value:
    if node.op == "placeholder":
        return _label_parameter(walk, node, tied)
    if node.op == "output":
        return follow_unknown(walk, Call(node, "output", {}))
    if node.op != "call_function":
        return {}
    if node.target is operator.getitem:
        whole, index = walk.values[node.all_input_nodes[0]], node.args[1]
        return whole[index] if isinstance(whole, tuple) and isinstance(index, int) else {}
    return _follow_operation(walk, node)


def _follow_operation(walk: Walk, node: Node) -> Value:
    target = node.target
    library, _, name = str(target).partition(".")
    if not isinstance(target, OpOverload) or library != "aten" or not _is_on_tensors(node):
        return follow_unknown(walk, Call(node, name, {}))
    name = name.partition(".")[0].rstrip("_")
    rule = _RULES.get(name) or find_pattern_rule(target.tags, name)
    if rule in (follow_elements, follow_unknown):
        return rule(walk, Call(node, name, {}))
    [signature] = get_signature_for_torch_op(target) or []
    bound = signature.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return rule(walk, Call(node, name, bound.arguments))


def _is_on_tensors(node: Node) -> bool:
    return all(isinstance(given.meta.get("val"), torch.Tensor) for given in node.all_input_nodes)


def _label_parameter(walk: Walk, node: Node, tied: frozenset[str]) -> Labels:
    name = walk.parameters.get(node.name)
    if name is None:
        return {}
    labels = {}
    for dimension, size in enumerate(shape_of(node)):
        if size > 1:
            slot = (name, dimension)
            if slot not in walk.slots:
                walk.slots[slot] = walk.head_slots.get(slot, walk.atoms.make(size))
            labels[dimension] = walk.slots[slot]
    return walk.freeze_dimensions(labels, labels) if name in tied else labels


def _make_heads(model: nn.Module, atoms: Atoms) -> dict[Slot, AtomVector]:
    """Make one atom for each attention head, with all its rows and columns."""
    slots: dict[Slot, AtomVector] = {}
    for name, module in model.named_modules():
        # What is cut becomes another module, for which the model itself has no place.
        if name and (isinstance(module, NarrowAttention) or is_self_attention(module)):
            rows = np.repeat(atoms.make(module.num_heads), module.head_dim)
            slots[f"{name}.in_proj_weight", 0] = np.tile(rows, 3)
            slots[f"{name}.in_proj_bias", 0] = np.tile(rows, 3)
            slots[f"{name}.out_proj.weight", 1] = rows
    return slots


def _name_tensors(model: nn.Module, names: Mapping[str, str]) -> dict[str, str]:
    """Return the given names with modules that have several named by their first."""
    first = {module: name for name, module in model.named_modules()}
    renamed = {}
    for node, name in names.items():
        path, _, attribute = name.rpartition(".")
        module = first[model.get_submodule(path)]
        renamed[node] = f"{module}.{attribute}" if module else attribute
    return renamed


def _find_tied(model: nn.Module) -> frozenset[str]:
    """Return the names of tensors that several modules hold, or that others are computed from."""
    held = [
        (f"{prefix}.{name}" if prefix else name, id(tensor))
        for prefix, module in model.named_modules()
        for name, tensor in _list_tensors(module)
    ]
    holders = Counter(identity for _, identity in held)
    return frozenset(
        name for name, identity in held if holders[identity] > 1 or ".parametrizations." in name
    )


def _list_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    yield from module.named_buffers(recurse=False, remove_duplicate=False)
