"""What one does by hand with ONNX Runtime: its default quantization, and the one tuned for x86.

The rivals of the benchmark of compression. Both get the runtime's own preparation of the graph
first, which its documentation advises, and the same samples as ours.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["quantize_by_default", "quantize_by_hand"]

Batch = NDArray[np.float32]

_INPUT = "input"


class _Samples:
    """Batches of the one input, as the runtime asks its readers of calibration data for them."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._rest = iter(batches)

    def get_next(self) -> dict[str, Batch] | None:
        """Return the next batch by the name of the input; None after the last one."""
        batch = next(self._rest, None)
        return None if batch is None else {_INPUT: batch}


def quantize_by_default(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Quantize as `quantize_static` does when nothing is said: signed, one scale a tensor.

    Args:
        source: A float32 file.
        target: Where the quantized file goes.
        batches: Calibration inputs, shape (N, …) each.
    """
    _quantize(source, target, batches)


def quantize_by_hand(source: Path, target: Path, batches: Sequence[Batch]) -> None:
    """Quantize activations to uint8 and weights to int8 with one scale a channel.

    Args:
        source: A float32 file.
        target: Where the quantized file goes.
        batches: Calibration inputs, shape (N, …) each.
    """
    _quantize(
        source,
        target,
        batches,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )


def _quantize(source: Path, target: Path, batches: Sequence[Batch], **settings: Any) -> None:
    with TemporaryDirectory() as folder, _silence():
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(prepared, target, _Samples(batches), **settings)


@contextmanager
def _silence() -> Iterator[None]:
    # It writes advice for its own command line to the root logger.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
