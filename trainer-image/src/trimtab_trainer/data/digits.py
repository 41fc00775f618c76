"""The built-in data set `digits`: 1,797 images of 8 by 8 pixels in ten classes, from scikit-learn.

Called by the catalog. The 17 gray levels of the source (0…16) become 0…1.
"""

import importlib

import torch

from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.images import LabelledImages, bundle_images
from trimtab_trainer.data.node_cache import NodeCache

__all__ = ["load_digits"]

_WHITE = 16


def load_digits(dataset: Dataset, *, seed: int, cache: NodeCache | None) -> DataBundle:
    """Load the digits and split them.

    Args:
        dataset: Shares of the splits, and normalization.
        seed: Seed of the splits.
        cache: Where one copy is kept for all processes of the node.

    Raises:
        DatasetInvalidError: The shares leave a split without samples.
        UserError: `dataset.normalize` does not fit gray images.
    """
    found = _read() if cache is None else cache.tensors("digits", _read)
    images = LabelledImages(images=found["images"], labels=found["labels"])
    return bundle_images(
        images, None, scale=_WHITE, split=dataset.split, normalize=dataset.normalize, seed=seed
    )


def _read() -> dict[str, torch.Tensor]:
    # Imported here because it takes over a second, in every worker, and few runs need it.
    source = importlib.import_module("sklearn.datasets").load_digits()
    return {
        "images": torch.from_numpy(source.images).to(torch.uint8).unsqueeze(1),
        "labels": torch.from_numpy(source.target).to(torch.int64),
    }
