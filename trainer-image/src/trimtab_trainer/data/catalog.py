"""From the manifest's `dataset` to loaded splits: which loader reads which source.

Called by the preflight and by every worker once, before its first work.
"""

from pathlib import Path

from trimtab_api.v1alpha1.model import Dataset
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.digits import load_digits
from trimtab_trainer.data.entrypoint import load_entrypoint
from trimtab_trainer.data.idx import load_idx
from trimtab_trainer.errors import DatasetUnavailableError, UserError
from trimtab_trainer.storage.uris import resolve_uri

__all__ = ["load_dataset"]


def load_dataset(
    dataset: Dataset, *, seed: int, code_dir: Path | None, data_root: Path
) -> DataBundle:
    """Load, check and split the data; the same arguments give the same splits and digest.

    Args:
        dataset: What the manifest says.
        seed: Seed of the split.
        code_dir: Folder of the manifest, where entry points are imported from.
        data_root: Folder that holds one folder per claim of `pvc://` URIs.

    Raises:
        DatasetUnavailableError: The data are not where the manifest says.
        DatasetInvalidError: They are, and cannot be used; file, sample or split is named.
        UserError: The entry point fails, or a setting does not fit the data.
    """
    if dataset.builtin is not None:
        return load_digits(dataset, seed=seed)
    if dataset.idx is not None:
        try:
            folder = resolve_uri(dataset.idx, data_root=data_root)
        except UserError as error:
            raise DatasetUnavailableError(f"dataset.idx: {error}") from error
        return load_idx(folder, dataset, seed=seed)
    return load_entrypoint(dataset, seed=seed, code_dir=code_dir)
