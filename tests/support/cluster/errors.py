"""What can be wrong with a test cluster itself; what its API server answers is in `api`."""

__all__ = ["ClusterStartError", "MissingToolError"]


class MissingToolError(RuntimeError):
    """Something must be installed first; the text says what."""


class ClusterStartError(RuntimeError):
    """A program of the cluster ended early or did not get ready; the text ends with its log."""
