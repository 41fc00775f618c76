"""What the command line may ask of a cluster, and what can go wrong with it.

Implemented by `cluster`, faked by nothing: tests run the real one against a small API server. It is
apart from it so that commands and checks know the questions without loading a Kubernetes client.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab_api.v1alpha1.job import API_VERSION
from trimtab_cli.exit_codes import ExitCode

__all__ = [
    "AbstractCluster",
    "ClusterError",
    "ConnectionFailedError",
    "ForbiddenError",
    "KindMissingError",
    "Manifest",
    "NotFoundError",
    "Permission",
    "RejectedError",
    "job_path",
]

Manifest = dict[str, Any]
"""An object as the API server writes it."""


class ClusterError(Exception):
    """A question to a cluster had no answer; its text says which and why."""

    exit_code = ExitCode.ENVIRONMENT_MISSING
    """How a command ends that cannot go on without the answer."""


class ConnectionFailedError(ClusterError):
    """There is no cluster to ask, or it does not answer, or it is overloaded."""


class ForbiddenError(ClusterError):
    """The cluster does not know the user, or does not allow this."""


class NotFoundError(ClusterError):
    """There is no such object."""

    exit_code = ExitCode.BAD_INPUT


class KindMissingError(ClusterError):
    """The cluster does not know the kind of the object."""


class RejectedError(ClusterError):
    """The API server finds an object invalid."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes
        """Field as the server spells it, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that a user may or may not do."""

    verb: str
    resource: str
    """Plural, with the group where there is one: `optimizationjobs.trimtab.dev`."""
    subresource: str = ""
    name: str = ""
    """Empty = every object."""


class AbstractCluster(ABC):
    """A cluster as one user sees it. Every call is one request; nothing is ever changed."""

    context: str
    """Name of the kubeconfig's context."""
    namespace: str
    """Where jobs are looked for."""

    @abstractmethod
    def read(self, path: str, *, metadata_only: bool = False) -> Manifest:
        """Return an object, a list or a discovery document.

        Args:
            path: Below the server's address, with a query where needed.
            metadata_only: Leave out all but the metadata, as for a Secret.

        Raises:
            ClusterError: There is no answer.
        """

    @abstractmethod
    def watch(self, path: str) -> Iterator[Manifest]:
        """Yield the events of a watch until the server ends it.

        Raises:
            ClusterError: There is no answer, or the stream broke.
        """

    @abstractmethod
    def is_allowed(self, permission: Permission, *, namespace: str) -> bool:
        """Return whether the user may do something; an empty namespace means the whole cluster.

        Raises:
            ClusterError: There is no answer.
        """

    @abstractmethod
    def try_apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Let the server judge an object as if it were applied, and store nothing.

        Raises:
            RejectedError: The object is invalid.
            ClusterError: There is no answer.
        """


def job_path(namespace: str, name: str) -> str:
    """Return where the API server keeps a job."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/optimizationjobs/{name}"
