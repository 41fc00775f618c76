"""Custom resource definitions: applied, and waited for until the API server serves their objects.

The fixtures apply ours, and KubeRay's where its operator or a test that plays it needs them. Those of
Prometheus Operator are for the test of the chart's monitors.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.api import Api, ApiRefusedError, Manifest
from cluster.errors import ClusterStartError
from cluster.kinds import object_path
from cluster.processes import wait_until
from cluster.programs import module_folder

__all__ = [
    "apply_definitions",
    "kuberay_definitions",
    "monitoring_definitions",
    "own_definitions",
    "remove_definitions",
    "wait_until_served",
]

_ROOT = Path(__file__).parents[3]
_KUBERAY = "github.com/ray-project/kuberay/ray-operator"
_PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_SECONDS = 30


def own_definitions() -> list[Path]:
    """Return the files of `crds/`."""
    return sorted((_ROOT / "crds").glob("*.yaml"))


def kuberay_definitions() -> list[Path]:
    """Return KubeRay's definitions, all of which its operator waits for, from its module."""
    folder = module_folder("kuberay", _KUBERAY) / "config" / "crd" / "bases"
    return sorted(folder.glob("ray.io_*.yaml"))


def monitoring_definitions() -> list[Path]:
    """Return those of Prometheus Operator whose objects the chart makes, from its module."""
    source = module_folder("prometheus-operator", _PROMETHEUS_OPERATOR)
    folder = source / "example" / "prometheus-operator-crd"
    plurals = ("servicemonitors", "podmonitors", "prometheusrules")
    return [folder / f"monitoring.coreos.com_{plural}.yaml" for plural in plurals]


def apply_definitions(api: Api, definitions: Iterable[Path]) -> None:
    """Apply definitions, as they are written, and wait until their objects can be made.

    Raises:
        ApiRefusedError: The API server does not take one.
        ClusterStartError: One is taken but its objects are not served in time.
    """
    applied = [_apply(api, path) for path in definitions]
    for definition in applied:
        _wait_until_served(api, definition)


def wait_until_served(api: Api, name: str) -> None:
    """Wait until objects of a definition can be made that somebody has applied.

    Raises:
        ApiRefusedError: It is not there.
        ClusterStartError: Its objects are not served in time.
    """
    _wait_until_served(api, api.get("CustomResourceDefinition", name))


def remove_definitions(api: Api, definitions: Iterable[Path]) -> None:
    """Delete definitions with all their objects.

    Raises:
        ClusterStartError: One is still there after a while.
    """
    names = [_read_name(path) for path in definitions]
    for name in names:
        api.delete("CustomResourceDefinition", name)
    for name in names:
        if not wait_until(_Gone(api, name), _SECONDS):
            raise ClusterStartError(f"the definition {name} is still there after {_SECONDS} s")


def _wait_until_served(api: Api, definition: Manifest) -> None:
    if not wait_until(_Served(api, definition), _SECONDS):
        name = definition["metadata"]["name"]
        raise ClusterStartError(f"objects of {name} are not served after {_SECONDS} s")


@dataclass(frozen=True, slots=True)
class _Gone:
    """Asks whether a definition is no more."""

    api: Api
    name: str

    def __call__(self) -> bool:
        return self.api.find("CustomResourceDefinition", self.name) is None


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


def _apply(api: Api, path: Path) -> Manifest:
    address = object_path("CustomResourceDefinition", _read_name(path), None)
    return api.apply_text(address, path.read_text(encoding="utf-8"))


def _read_name(path: Path) -> str:
    # A whole file of KubeRay takes seconds to parse.
    text = path.read_text(encoding="utf-8")
    name = re.search(r"^metadata:\n(?:  .*\n)*?  name: (\S+)$", text, re.MULTILINE)
    if name is None:
        raise ClusterStartError(f"{path} holds no definition with a name")
    return name[1]
