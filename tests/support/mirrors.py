"""Many runs in one process: what none outside tests is. Each leaves its storage to the next."""

from trimtab_trainer.storage import mirror

__all__ = ["detach_mirrors"]


def detach_mirrors() -> None:
    """Let nothing be covered by a mirror any more."""
    vars(mirror)["_attached"].clear()
