"""Images in memory become floats in 0…1, with the normalization of the training split."""

import pytest
import torch

from image_data import make_bundle, make_images
from trimtab_api.v1alpha1.model import Normalize, Split
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.images import LabelledImages, bundle_images
from trimtab_trainer.errors import DatasetInvalidError, UserError


def bundle(
    given: LabelledImages,
    test: LabelledImages | None = None,
    *,
    normalize: Normalize | None = None,
    split: Split | None = None,
    seed: int = 0,
) -> DataBundle:
    return bundle_images(
        given, test, scale=255, split=split or Split(), normalize=normalize, seed=seed
    )


def test_a_batch_is_scaled_and_in_the_order_asked_for() -> None:
    given = make_images(40)
    data = bundle(given)
    images, labels = data.train.batch(torch.tensor([3, 0]))
    rows = torch.tensor([3, 0])
    assert images.dtype == torch.float32
    assert images.shape == (2, 1, 8, 8)
    again, _ = data.train.batch(rows.flip(0))
    assert torch.equal(images.flip(0), again)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert labels.dtype == torch.int64


def test_normalization_is_the_mean_and_deviation_of_the_training_split() -> None:
    data = bundle(make_images(60))
    images, _ = data.train.batch(torch.arange(len(data.train)))
    assert data.image is not None
    assert data.image.mean == pytest.approx([float(images.double().mean())], rel=1e-6)
    deviation = float(images.double().std(correction=0))
    assert data.image.std == pytest.approx([deviation], rel=1e-6)


def test_given_normalization_wins() -> None:
    normalize = Normalize(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    data = bundle(make_images(40), normalize=normalize)
    assert data.image is not None
    assert (data.image.mean, data.image.std) == (normalize.mean, normalize.std)


def test_normalization_for_other_channels_is_refused() -> None:
    with pytest.raises(UserError, match="one entry for each of the 1 channels but has 2"):
        bundle(make_images(40), normalize=Normalize(mean=(0.1, 0.2), std=(1.0, 1.0)))


def test_a_test_split_of_the_source_is_kept_whole() -> None:
    data = bundle(make_images(40), make_images(12, seed=1))
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (34, 6, 12)


def test_no_test_split_where_none_is_wanted() -> None:
    assert bundle(make_images(40), split=Split(test=0)).test is None


def test_the_digest_depends_on_content_and_split() -> None:
    given = make_images(40)
    digests = {bundle(given, seed=0).digest, bundle(given, seed=1).digest}
    assert len(digests | {bundle(make_images(40, seed=9)).digest}) == 3
    assert make_bundle().digest == make_bundle().digest


def test_f64_images_of_one_colour_are_refused() -> None:
    given = LabelledImages(torch.full((40, 1, 4, 4), 7, dtype=torch.uint8), torch.arange(40) % 2)
    with pytest.raises(DatasetInvalidError, match="all pixels of channel 0"):
        bundle(given)


def test_f64_an_empty_test_split_is_refused() -> None:
    empty = LabelledImages(torch.empty(0, 1, 8, 8, dtype=torch.uint8), torch.empty(0).long())
    with pytest.raises(DatasetInvalidError, match="split test must have samples"):
        bundle(make_images(40), empty)


def test_f64_test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(DatasetInvalidError, match=r"shape \(1, 8, 8\).*\(1, 4, 4\)"):
        bundle(make_images(40), make_images(8, size=4))
