"""SEAM: Torch-Pruning's dependency graph → groups of coupled channels in our own types.

Called by `cutter`. Torch-Pruning 1.6.1 traces which layers share channels (Fang et al., DepGraph:
Towards Any Structural Pruning, CVPR 2023); ranking, choice and removal stay ours.
"""

from typing import Any

import torch
import torch_pruning
from torch import nn

from trimtab_trainer.errors import UserError
from trimtab_trainer.pruning.eval_mode import in_eval_mode
from trimtab_trainer.pruning.groups import ChannelGroup, Member
from trimtab_trainer.pruning.layers import Direction, has_cuttable_channels

__all__ = ["find_groups"]


def find_groups(model: nn.Module, example: torch.Tensor) -> tuple[ChannelGroup, ...]:
    """Find the groups of channels that can be removed from a model.

    Groups that reach the output of the model are left out, and so are those that pass through a
    layer whose channels cannot be cut one by one.

    Args:
        model: left as it is; it must return a tensor.
        example: an input batch, shape (N, ...).

    Returns:
        The groups in the order of their roots in the model.

    Raises:
        UserError: the model cannot be traced.
    """
    names = {module: name for name, module in model.named_modules()}
    order = {name: index for index, name in enumerate(names.values())}
    graph = _trace(model, example)
    found = [_convert_group(graph, group, names) for group in graph.get_all_groups()]
    return tuple(
        sorted(
            (group for group in found if group is not None),
            key=lambda group: order[group.root],
        )
    )


def _trace(model: nn.Module, example: torch.Tensor) -> Any:
    try:
        with in_eval_mode(model), torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(
                model,
                example,
                # By default the batch would be unpacked into positional arguments.
                forward_fn=lambda traced, batch: traced(batch),
                verbose=False,
            )
    except Exception as error:
        raise UserError(
            f"the model cannot be traced for pruning with input shape {tuple(example.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _convert_group(graph: Any, group: Any, names: dict[nn.Module, str]) -> ChannelGroup | None:
    """Return None for a group that must stay whole."""
    members: list[Member] = []
    for item in group.items:
        node = item.dep.target
        is_output_side = graph.is_out_channel_pruning_fn(item.dep.handler)
        if is_output_side and not node.outputs:
            return None  # Nothing follows: these channels are the output of the model.
        if node.module in names:
            if not has_cuttable_channels(node.module) or None in item.root_idxs:
                return None
            members.append(
                Member(
                    layer=names[node.module],
                    direction=Direction.OUTPUT if is_output_side else Direction.INPUT,
                    positions=tuple(item.idxs),
                    channels=tuple(item.root_idxs),
                )
            )
        elif not isinstance(node.module, nn.Module):
            return None  # A parameter outside of layers; operations between layers are modules.
    return ChannelGroup(root=members[0].layer, width=len(group[0].idxs), members=tuple(members))
