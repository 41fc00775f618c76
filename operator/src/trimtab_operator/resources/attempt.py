"""Everything that the manifests of one attempt are made from.

Put together by the planner and by `trimtab plan`, so that the builders take one value.
"""

from dataclasses import dataclass

from trimtab_api.v1alpha1.job import Spec
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.resources.identity import JobIdentity

__all__ = ["AttemptInputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInputs:
    """One attempt of one job."""

    identity: JobIdentity
    spec: Spec
    """Expanded: with every computed default."""
    attempt: int
    storage: str
    """Storage root."""
    settings: ChildSettings

    @property
    def image(self) -> str:
        """Return the trainer image."""
        return self.spec.cluster.image or self.settings.image
