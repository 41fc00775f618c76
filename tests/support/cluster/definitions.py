"""Custom resource definitions: applied, and waited for until the API server serves their objects.

The fixtures apply ours, and KubeRay's where its operator or a test that plays it needs them.
"""

from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

from cluster.api import Api, ApiRefusedError, Manifest
from cluster.errors import ClusterStartError
from cluster.processes import wait_until
from cluster.programs import module_folder

__all__ = ["apply_definitions", "kuberay_definitions", "own_definitions"]

_ROOT = Path(__file__).parents[3]
_KUBERAY = "github.com/ray-project/kuberay/ray-operator"
_SECONDS = 30


def own_definitions() -> list[Manifest]:
    """Return the definitions of `crds/`."""
    return _read_folder(_ROOT / "crds", "*.yaml")


def kuberay_definitions() -> list[Manifest]:
    """Return KubeRay's definitions, all of which its operator waits for, from its module."""
    folder = module_folder("kuberay", _KUBERAY) / "config" / "crd" / "bases"
    return _read_folder(folder, "ray.io_*.yaml")


def apply_definitions(api: Api, definitions: Iterable[Manifest]) -> None:
    """Apply definitions and wait until their objects can be made.

    Raises:
        ApiRefusedError: The API server does not take one.
        ClusterStartError: One is taken but its objects are not served in time.
    """
    applied = [api.apply(definition) for definition in definitions]
    for definition in applied:
        name = definition["metadata"]["name"]
        if not wait_until(_Served(api, definition), _SECONDS):
            raise ClusterStartError(f"objects of {name} are not served after {_SECONDS} s")


class _Served:
    """Asks whether a definition is established, its objects are listed and its texts published."""

    def __init__(self, api: Api, definition: Manifest) -> None:
        spec = definition["spec"]
        served = [version["name"] for version in spec["versions"] if version["served"]]
        self._api = api
        self._name = definition["metadata"]["name"]
        self._paths = [
            path
            for one in served
            for path in (
                f"/apis/{spec['group']}/{one}/{spec['names']['plural']}",
                f"/openapi/v3/apis/{spec['group']}/{one}",
            )
        ]

    def __call__(self) -> bool:
        status = self._api.get("CustomResourceDefinition", self._name).get("status") or {}
        conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or ()}
        if conditions.get("Established") != "True":
            return False
        try:
            for path in self._paths:
                self._api.read_text(path)
        except ApiRefusedError:
            return False  # storage and texts are made a moment later than the condition says
        return True


def _read_folder(folder: Path, pattern: str) -> list[Manifest]:
    # YAML 1.2 as the API server reads it: in 1.1 a number such as 1e-06 is text.
    reader = YAML(typ="safe", pure=True)
    return [reader.load(path) for path in sorted(folder.glob(pattern))]
