"""Outputs of two callables are compared over all batches, and told apart past the tolerance."""

import math

import pytest
import torch
from torch import Tensor

from trimtab_trainer.errors import ExportFailedError
from trimtab_trainer.exporting.parity import compare_outputs

SCORES = torch.tensor([[1.0, 2.0, -8.0], [0.0, 0.5, 0.25]])


def scores(inputs: Tensor) -> Tensor:
    return SCORES[: len(inputs)]


def test_equal_outputs_have_no_error_and_full_agreement() -> None:
    parity = compare_outputs(scores, scores, [torch.rand(2, 3), torch.rand(1, 3)], tolerance=0.0)
    assert (parity.samples, parity.max_abs_error, parity.agreement) == (3, 0.0, 1.0)
    assert parity.max_abs_output == 8.0


def test_agreement_counts_samples_whose_largest_score_is_the_same() -> None:
    swapped = SCORES + torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    parity = compare_outputs(scores, lambda _: swapped, [torch.rand(2, 3)], tolerance=math.inf)
    assert parity.agreement == 0.5
    assert parity.max_abs_error == 1.0


def test_outputs_that_are_no_class_scores_have_no_agreement() -> None:
    parity = compare_outputs(lambda x: x, lambda x: x, [torch.rand(2, 3, 4)], tolerance=0.0)
    assert parity.agreement is None


def test_tolerance_is_a_share_of_the_largest_output() -> None:
    def shifted(inputs: Tensor) -> Tensor:
        return scores(inputs) + 0.07

    compare_outputs(scores, shifted, [torch.rand(2, 3)], tolerance=0.01)
    with pytest.raises(ExportFailedError, match=r"differ .* by 0\.07; expected at most 0\.005"):
        compare_outputs(scores, shifted, [torch.rand(2, 3)], tolerance=0.005)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_f70_an_output_that_is_not_finite_on_one_side_only_differs(value: float) -> None:
    broken = SCORES.clone()
    broken[1, 2] = value
    with pytest.raises(ExportFailedError, match="by inf"):
        compare_outputs(scores, lambda _: broken, [torch.rand(2, 3)], tolerance=0.1)
    compare_outputs(lambda _: broken, lambda _: broken, [torch.rand(2, 3)], tolerance=0.1)


def test_f70_another_shape_differs() -> None:
    with pytest.raises(ExportFailedError, match=r"shape \(2, 1\) but the model returns \(2, 3\)"):
        compare_outputs(scores, lambda _: torch.rand(2, 1), [torch.rand(2, 3)], tolerance=0.1)


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        compare_outputs(scores, scores, [], tolerance=0.1)
