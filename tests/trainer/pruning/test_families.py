"""Families of torchvision's networks are cut as far as they allow, and run."""

import copy
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock, Bottleneck

from trimtab_trainer.pruning.cuts import parse_cuts, render_cuts, replay_cuts
from trimtab_trainer.pruning.cutter import PruneSettings, find_cuttable_groups, plan_cuts

FAMILIES: Mapping[str, tuple[Callable[[], nn.Module], int, float]] = {
    "resnet": (lambda: models.ResNet(BasicBlock, [1, 1, 1, 1], 5), 8, 0.35),
    "resnext": (
        lambda: models.ResNet(Bottleneck, [1, 1, 1, 1], 5, groups=8, width_per_group=4),
        8,
        0.4,
    ),
    "mobilenet": (lambda: models.mobilenet_v3_small(num_classes=5), 8, 0.4),
    "shufflenet": (lambda: models.shufflenet_v2_x0_5(num_classes=5), 8, 0.6),
    "densenet": (
        lambda: models.DenseNet(8, (2, 2, 2, 2), 8, num_classes=5),
        29,
        0.4,
    ),
    "googlenet": (
        lambda: models.GoogLeNet(num_classes=5, aux_logits=False, init_weights=False),
        15,
        0.35,
    ),
    "vit": (lambda: models.VisionTransformer(8, 4, 2, 4, 16, 32, num_classes=5), 8, 0.7),
    "swin": (
        lambda: models.SwinTransformer([2, 2], 16, [1, 1], [2, 4], [2, 2], num_classes=5),
        8,
        0.8,
    ),
    "convnext": (
        lambda: models.ConvNeXt(
            [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=5
        ),
        32,
        0.5,
    ),
}
"""Family → builder, smallest size of its images, largest share of parameters left of one half."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run on one thread: networks as small as these only wait for others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_cut_to_half_its_widths(family: str, settings: PruneSettings) -> None:
    build, size, share = FAMILIES[family]
    dense = build().eval()
    example = torch.rand(2, 3, size, size)

    groups = find_cuttable_groups(dense, example, settings)
    scores = {group.root: torch.rand(group.width) for group in groups}
    cuts = plan_cuts(dense, groups, {g.root: (g.width + 1) // 2 for g in groups}, scores)
    pruned = copy.deepcopy(dense)
    replay_cuts(pruned, parse_cuts(render_cuts(cuts)))

    assert pruned(example).shape == (2, 5)
    assert pruned(example).isfinite().all()
    dense_count, count = (sum(p.numel() for p in net.parameters()) for net in (dense, pruned))
    assert count < share * dense_count
