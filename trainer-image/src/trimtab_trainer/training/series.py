"""Checkpoints of an unfinished training: the newest few, each verified before it is used.

Called by the stages after epochs, and when a lost training starts again. Each checkpoint is one
safetensors file and a manifest with its hash that is written last; a file that is not the one
that was written is passed over, and nothing of it was parsed.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from trimtab_trainer.errors import CheckpointRefusedError
from trimtab_trainer.storage.filesystem import atomic_write, read_json, remove, write_json
from trimtab_trainer.storage.patience import is_passing
from trimtab_trainer.training.state import TrainingState
from trimtab_trainer.training.tensor_file import parse_tensors, render_tensors

__all__ = ["CheckpointSeries"]

_MANIFEST = re.compile(r"epoch-([0-9]{7})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TENSORS = re.compile(r"epoch-[0-9]{7}\.[0-9a-f]{16}\.safetensors")


class CheckpointSeries:
    """The checkpoints of one training in a folder of their own."""

    def __init__(self, folder: Path, *, keep: int, owner: str) -> None:
        """Name a series; nothing is read or written yet.

        Args:
            folder: Made by the first save.
            keep: How many are kept, at least 1.
            owner: What the training is, such as a hash over recipe, data and seed; checkpoints
                of another owner are refused.
        """
        self._folder = folder
        self._keep = keep
        self._owner = owner

    def save(self, epoch: int, state: TrainingState) -> None:
        """Add a checkpoint; older ones than the newest few are deleted afterwards, and newer ones.

        Newer ones were refused, or belong to a training that was since begun anew.

        Args:
            epoch: Epochs done.
            state: The training then.

        Raises:
            OSError: The file system refuses; all older checkpoints are still whole.
        """
        content = render_tensors(state.tensors, {"epoch": epoch, "training": dict(state.facts)})
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            # The hash in the name: a file that a manifest names is never written again.
            atomic_write(self._tensors_path(epoch, sha256), content)
            write_json(self._manifest_path(epoch), {"owner": self._owner, "sha256": sha256})
        except OSError:
            with suppress(OSError):
                self._delete_all_but(self._epochs())
            raise
        older = [number for number in self._epochs() if number < epoch]
        self._delete_all_but([epoch, *older[: self._keep - 1]])

    def newest(self, on_refused: Callable[[str], None]) -> TrainingState | None:
        """Return the newest checkpoint that is whole and this owner's; None without any.

        Args:
            on_refused: Told in one line about each checkpoint that was passed over.

        Raises:
            OSError: The storage is away for a moment.
        """
        for epoch in self._epochs():
            try:
                return self._load(epoch)
            except CheckpointRefusedError as error:
                on_refused(str(error))
        return None

    def _load(self, epoch: int) -> TrainingState:
        expected = self._read_hash(epoch)
        path = self._tensors_path(epoch, expected)
        try:
            content = path.read_bytes()
        except OSError as error:
            if is_passing(error):
                raise
            raise CheckpointRefusedError(f"{path} cannot be read: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise CheckpointRefusedError(f"{path} must have sha256 {expected} but has {found}")
        tensors, facts = parse_tensors(content, source=path)
        training = facts.get("training")
        if facts.get("epoch") != epoch or not isinstance(training, dict):
            raise CheckpointRefusedError(
                f"{path} must hold a training after epoch {epoch} but holds epoch"
                f" {facts.get('epoch')}"
            )
        return TrainingState(epoch, tensors, training)

    def _read_hash(self, epoch: int) -> str:
        path = self._manifest_path(epoch)
        try:
            manifest = read_json(path)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_passing(error):
                raise
            raise CheckpointRefusedError(f"{path} must be a JSON file but: {error}") from error
        match manifest:
            case {"owner": self._owner, "sha256": str(sha256)} if _SHA256.fullmatch(sha256):
                return sha256
            case {"owner": owner, "sha256": str()} if owner != self._owner:
                raise CheckpointRefusedError(f"{path} must be of {self._owner} but is of {owner}")
            case _:
                raise CheckpointRefusedError(f"{path} must hold owner and sha256 but does not")

    def _epochs(self) -> list[int]:
        """Return the epochs that have a manifest, newest first."""
        if not self._folder.is_dir():
            return []
        names = (_MANIFEST.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def _delete_all_but(self, epochs: Iterable[int]) -> None:
        kept = set()
        for epoch in epochs:
            kept.add(self._manifest_path(epoch))
            try:
                kept.add(self._tensors_path(epoch, self._read_hash(epoch)))
            except CheckpointRefusedError:
                # It may only be unreadable for a moment: nothing of it is deleted.
                kept.update(self._folder.glob(f"epoch-{epoch:07}.*"))
        for path in sorted(self._folder.iterdir(), reverse=True):  # manifests before their tensors
            if path not in kept and (
                _MANIFEST.fullmatch(path.name) or _TENSORS.fullmatch(path.name)
            ):
                remove(path)

    def _manifest_path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:07}.json"

    def _tensors_path(self, epoch: int, sha256: str) -> Path:
        return self._folder / f"epoch-{epoch:07}.{sha256[:16]}.safetensors"
