"""Frozen facts of one start of a run, known before its first stage.

Made by the pipeline or the driver in a cluster, passed to every stage; nothing in it changes while
the run goes on.
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RunContext"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where a run works and what it may use."""

    name: str
    """The job."""
    fingerprint: str
    """SHA-256 over the immutable fields of the manifest."""
    attempt: int
    """Which start this is, counted from 1."""
    root: Path
    """The run folder; paths in reports are relative to it."""
    code_dir: Path | None
    """Where user code is imported from: the manifest's folder; None = from what is installed."""
    data_root: Path
    """Where `pvc://claim/path` lies locally, as `<data_root>/claim/path`."""
    cores: int
    """Cores that a process of a slot may use while nothing else runs."""
    machines: int = 1
    """Machines of so many cores that the slots are spread over."""
    is_local: bool = True
    """Whether this one machine stands in for every target, placed elsewhere or not."""

    @property
    def artifacts(self) -> Path:
        """Return the folder of exported files."""
        return self.root / "artifacts"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of weights."""
        return self.root / "checkpoints"

    def relative(self, path: Path) -> str:
        """Return a path as reports name it."""
        return path.relative_to(self.root).as_posix()
