"""The chart as Helm renders it, and Helm itself; used by the tests of the chart."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from cluster.access import Cluster
from cluster.programs import program
from source_tree import ROOT

__all__ = [
    "ALL_VALUES",
    "CHART",
    "MONITORED",
    "NAMESPACE",
    "RELEASE",
    "HelmError",
    "Manifest",
    "Values",
    "find_manifest",
    "read_environment",
    "render",
    "render_hooks",
    "render_text",
    "run_helm",
]

Manifest = dict[str, Any]
Values = Mapping[str, Any]

CHART = ROOT / "charts" / "trimtab"
RELEASE = "trimtab"
NAMESPACE = "trimtab-system"

ALL_VALUES: Values = {
    "image": {"repository": "ghcr.io/me/operator", "digest": f"sha256:{'a1' * 32}"},
    "trainerImage": {"repository": "ghcr.io/me/trainer", "tag": "0.2.0"},
    "imagePullSecrets": [{"name": "registry"}],
    "watchNamespaces": ["vision", "speech"],
    "logLevel": "DEBUG",
    "storageUri": "pvc://runs/all",
    "rayVersion": "2.60.0",
    "crds": {"install": False},
    "resources": {"limits": {"cpu": 2}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "infra", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"example.com/team": "vision"},
    "metrics": {"tlsSecret": "metrics-tls", "clientCertificates": True},
    "networkPolicy": {"apiServerPorts": [443, 6443]},
    "podDisruptionBudget": {"enabled": True},
}
"""Nearly every value, none as by default, and without the definition, which takes time to read."""

MONITORED: Values = {
    "crds": {"install": False},
    "metrics": {
        "tlsSecret": "metrics-tls",
        "clientCertificates": True,
        "clientSecret": "prometheus-tls",
    },
    "serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "prometheusRule": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "documents": "https://documents.example/trimtab",
    },
    "dashboards": {"enabled": True},
}
"""All that Prometheus Operator and Grafana read, with client certificates."""

_HOOK = "helm.sh/hook"


class HelmError(RuntimeError):
    """Helm refused; holds its words."""


def run_helm(*arguments: str, cluster: Cluster | None = None, text: str = "") -> str:
    """Run Helm, as the administrator of a cluster or without one, and return what it prints.

    Raises:
        HelmError: It fails.
    """
    access = () if cluster is None else ("--kubeconfig", str(cluster.kubeconfig))
    done = subprocess.run(
        [program("helm"), *arguments, *access],
        check=False,
        input=text,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def render_text(values: Values | None = None, *arguments: str, namespace: str = NAMESPACE) -> str:
    """Return what the chart renders for a release with these values.

    Raises:
        HelmError: Helm refuses the values.
    """
    given = json.dumps(dict(values or {}))
    command = ("template", RELEASE, str(CHART), "--namespace", namespace, "--values", "-")
    return run_helm(*command, *arguments, text=given)


def read_environment(manifests: list[Manifest]) -> dict[str, str]:
    """Return the environment of the rendered operator."""
    (container,) = find_manifest(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def render(values: Values | None = None, namespace: str = NAMESPACE) -> list[Manifest]:
    """Return the rendered manifests without Helm's hooks.

    Raises:
        HelmError: Helm refuses the values.
    """
    return [one for one in _parse(render_text(values, namespace=namespace)) if not _is_hook(one)]


def render_hooks(values: Values | None = None, namespace: str = NAMESPACE) -> list[Manifest]:
    """Return the manifests of the chart's test.

    Raises:
        HelmError: Helm refuses the values.
    """
    return [one for one in _parse(render_text(values, namespace=namespace)) if _is_hook(one)]


def find_manifest(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = [one for one in manifests if one["kind"] == kind]
    return found


def _parse(text: str) -> list[Manifest]:
    return [one for one in YAML(typ="safe").load_all(text) if one is not None]


def _is_hook(manifest: Manifest) -> bool:
    return _HOOK in manifest["metadata"].get("annotations", {})
