"""What a slot keeps between pieces of work: the loaded data set and task, and the models' code.

Built inside the slot's process by the executor; the work functions of this folder take it as
their first argument. Nothing here decides anything.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.data._base import DataBundle
from trimtab_trainer.data.catalog import load_dataset
from trimtab_trainer.data.labels import read_num_classes
from trimtab_trainer.data.node_cache import NodeCache
from trimtab_trainer.models.catalog import build_model
from trimtab_trainer.models.task import AbstractTask, build_task
from trimtab_trainer.pruning.cuts import parse_cuts, replay_cuts
from trimtab_trainer.training.checkpoint import load_checkpoint
from trimtab_trainer.training.device import has_working_cuda, resolve_device
from trimtab_trainer.training.seeding import seed_everything

__all__ = ["CUTS_KEY", "Bench", "make_example"]

CUTS_KEY = "trimtab.cuts"
"""Key of a pruned checkpoint's metadata under which its cuts stand."""

_EXAMPLE_SAMPLES = 2
_DOWNLOADS = "downloads"


@dataclass(slots=True)
class Bench:
    """Loaded data, one data set at a time."""

    code_dir: Path | None
    data_root: Path
    cache_dir: Path
    """Where data are kept once for all processes of this node (`dataset.cache: Node`)."""
    _key: str = ""
    _data: DataBundle | None = field(default=None)

    def data(self, spec: Spec) -> DataBundle:
        """Return the data set of a spec; it is loaded again only where its description changed."""
        facts = [
            spec.seed,
            spec.dataset.model_dump(mode="json"),
            read_num_classes(spec.model.args),
        ]
        key = json.dumps(facts, sort_keys=True)
        if self._data is None or key != self._key:
            self._data = load_dataset(
                spec.dataset,
                seed=spec.seed,
                code_dir=self.code_dir,
                data_root=self.data_root,
                num_classes=read_num_classes(spec.model.args),
                cache=NodeCache(self.cache_dir),
                downloads=self.cache_dir / _DOWNLOADS,
            )
            self._key = key
        return self._data

    def task(self, spec: Spec) -> AbstractTask:
        """Return the task of a spec."""
        return build_task(spec.task, self.code_dir)

    def device(self, spec: Spec) -> str:
        """Return where this process computes for a spec: `cpu` or `cuda`.

        Raises:
            UserError: The spec asks for a GPU, and none works here.
        """
        return resolve_device(spec.cluster.device, cuda_works=has_working_cuda())

    def fresh_model(self, spec: Spec) -> nn.Module:
        """Return the network with its initial weights on its device, the same for the same seed."""
        seed_everything(spec.seed)
        model = build_model(
            spec.model,
            data=self.data(spec),
            image_size=spec.dataset.image_size,
            code_dir=self.code_dir,
            data_root=self.data_root,
            downloads=self.cache_dir / _DOWNLOADS,
        )
        return model.to(self.device(spec))

    def stored_model(self, spec: Spec, checkpoint: Path | None) -> nn.Module:
        """Return the network with the weights of a checkpoint, cut as its metadata says.

        Raises:
            CheckpointRefusedError: The checkpoint fails its hash or does not fit the network.
        """
        model = self.fresh_model(spec)
        if checkpoint is not None:
            state, metadata = load_checkpoint(checkpoint)
            if CUTS_KEY in metadata:
                replay_cuts(model, parse_cuts(metadata[CUTS_KEY]))
            model.load_state_dict(state)
        return model


def make_example(data: DataBundle) -> torch.Tensor:
    """Return the first two training samples, shape (2, …)."""
    inputs, _ = data.train.batch(torch.arange(min(_EXAMPLE_SAMPLES, len(data.train))))
    if len(inputs) < _EXAMPLE_SAMPLES:
        inputs = inputs.repeat(_EXAMPLE_SAMPLES, *[1] * (inputs.dim() - 1))
    return inputs
