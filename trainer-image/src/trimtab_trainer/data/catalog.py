"""From the manifest's `dataset` to loaded splits: which loader reads which source.

Called by the preflight and by every worker once, before its first work.
"""

from dataclasses import replace
from pathlib import Path

from trimtab_api.labels import ENV_PREFIX_DATASET
from trimtab_api.v1alpha1.model import Cache, Dataset
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.digits import load_digits
from trimtab_trainer.data.entrypoint import load_entrypoint
from trimtab_trainer.data.idx import load_idx
from trimtab_trainer.data.image_folder import load_image_folder
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.errors import DatasetUnavailableError, UserError
from trimtab_trainer.storage.downloads import localize
from trimtab_trainer.storage.hashes import fingerprint

__all__ = ["load_dataset"]


def load_dataset(
    dataset: Dataset,
    *,
    seed: int,
    code_dir: Path | None,
    data_root: Path,
    num_classes: int | None = None,
    cache: NodeCache | None = None,
    downloads: Path | None = None,
) -> DataBundle:
    """Load, check and split the data; the same arguments give the same splits and digest.

    Args:
        dataset: What the manifest says.
        seed: Seed of the split.
        code_dir: Folder of the manifest, where entry points are imported from.
        data_root: Folder that holds one folder per claim of `pvc://` URIs.
        num_classes: What `read_num_classes` finds in `model.args`: labels below it are right even
            where classes have no sample.
        cache: What the processes of this node share; used for decoded data where the data set
            says `cache: Node`, for the scan of image folders, and to notice an entry point that
            does not give all processes the same data.
        downloads: Where the files of `s3://` URIs go; without it they are refused.

    Raises:
        DatasetUnavailableError: The data are not where the manifest says.
        DatasetInvalidError: They are, and cannot be used; file, sample or split is named.
        UserError: The entry point fails or gives this process other data than an earlier one, or
            a setting does not fit the data.
    """
    shared = cache if dataset.cache is Cache.NODE else None
    if dataset.builtin is not None:
        bundle = load_digits(dataset, seed=seed, cache=shared)
    elif dataset.idx is not None:
        folder = _locate("idx", dataset.idx, data_root, downloads)
        bundle = load_idx(folder, dataset, seed=seed, num_classes=num_classes, cache=shared)
    elif dataset.image_folder is not None:
        folder = _locate("imageFolder", dataset.image_folder, data_root, downloads)
        bundle = load_image_folder(folder, dataset, seed=seed, cache=cache)
    else:
        bundle = load_entrypoint(dataset, seed=seed, code_dir=code_dir, num_classes=num_classes)
        if cache is not None:
            _refuse_difference(bundle, dataset, seed=seed, cache=cache)
    return bundle if cache is None else replace(bundle, warnings=cache.warnings)


def _refuse_difference(
    bundle: DataBundle, dataset: Dataset, *, seed: int, cache: NodeCache
) -> None:
    """Compare with what the first process of this node loaded, which is the preflight's."""
    source = {"seed": seed, "classes": bundle.num_classes, **dataset.model_dump(mode="json")}
    known = cache.record(f"digest-{fingerprint(source)}", lambda: bundle.digest)
    if known != bundle.digest:
        raise UserError(
            f"dataset.entrypoint {dataset.entrypoint} must return the same samples at every call,"
            " but two processes of this run got different ones; give code that draws samples a"
            " fixed seed"
        )


def _locate(field: str, uri: str, data_root: Path, downloads: Path | None) -> Path:
    try:
        return localize(uri, data_root=data_root, downloads=downloads, prefix=ENV_PREFIX_DATASET)
    except UserError as error:
        raise DatasetUnavailableError(f"dataset.{field}: {error}") from error
    except OSError as error:
        raise DatasetUnavailableError(
            f"dataset.{field} {uri} cannot be read: {error.strerror}"
        ) from error
