"""Whether network, data and task fit together, before anything is paid for.

Called by the pipeline's preflight with a model that was just built, and by `trimtab validate`.
"""

import math
from pathlib import Path

import torch
from torch import nn

from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.user_code import blame_user_code
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.task import AbstractTask

__all__ = ["check_model"]

_SAMPLES = 2


def check_model(
    model: nn.Module, *, data: DataBundle, task: AbstractTask, code_dir: Path | None
) -> None:
    """Run two samples through network, loss and metrics; nothing is changed.

    Raises:
        UserError: The network raises, gives no tensor or one of the wrong shape; or loss or
            metrics raise or are no finite numbers.
    """
    indices = torch.arange(min(_SAMPLES, len(data.train)))
    inputs, targets = data.train.batch(indices)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), blame_user_code("a forward pass of the model", code_dir):
            outputs = model(inputs)
    finally:
        model.train(was_training)
    _check_outputs(outputs, len(indices), data.num_classes)
    with torch.inference_mode(), blame_user_code("loss and metrics of the task", code_dir):
        values = {"loss": float(task.loss(outputs, targets)), **task.metrics(outputs, targets)}
    for name, value in values.items():
        if not math.isfinite(value):
            raise UserError(f"{name} of two samples must be a finite number but is {value}")


def _check_outputs(outputs: object, samples: int, num_classes: int | None) -> None:
    if not isinstance(outputs, torch.Tensor):
        raise UserError(f"the model must return a tensor but returned {type(outputs).__name__}")
    if num_classes is None:
        fits, expected = outputs.shape[:1] == (samples,), f"({samples}, …)"
    else:
        columns = outputs.shape[1] if outputs.ndim > 1 else 0
        fits = outputs.shape == (samples, max(num_classes, columns))
        expected = f"({samples}, {num_classes})"
    if not fits:
        raise UserError(
            f"outputs of the model for {samples} samples must have shape {expected} but have"
            f" {tuple(outputs.shape)}"
        )
