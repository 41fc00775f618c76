"""A cluster that is there already, by its kubeconfig: kind, k3s, or one in a cloud.

Tier N takes it instead of a node of its own when `KUBECONFIG` is set. kubectl signs in, whatever
way the file asks for.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.access import Cluster
from cluster.api import Api
from cluster.errors import ClusterStartError, MissingToolError
from cluster.processes import Processes, find_free_ports
from cluster.programs import program

__all__ = ["IMAGE_VARIABLE", "OPERATOR_VARIABLE", "given_kubeconfig", "use_existing"]

IMAGE_VARIABLE = "TRIMTAB_TEST_IMAGE"
"""Names the trainer image that an existing cluster can pull."""
OPERATOR_VARIABLE = "TRIMTAB_TEST_OPERATOR_IMAGE"
"""Names the operator image that it can pull."""


def given_kubeconfig() -> Path | None:
    """Return the file that `KUBECONFIG` names, if it names one."""
    given = os.environ.get("KUBECONFIG")
    return Path(given) if given else None


@contextmanager
def use_existing(kubeconfig: Path, session: Path) -> Iterator[Cluster]:
    """Give access to an existing cluster until the context ends.

    Args:
        kubeconfig: Its file, with the rights of an administrator.
        session: A folder of this session.

    Raises:
        MissingToolError: KubeRay or the name of an image is missing.
        ClusterStartError: The cluster does not answer.
    """
    for variable in (IMAGE_VARIABLE, OPERATOR_VARIABLE):
        if not os.environ.get(variable):
            raise MissingToolError(f"with KUBECONFIG set {variable} must name an image")
    server, trust = _read_server(kubeconfig, session)
    (port,) = find_free_ports(1)
    api = Api(f"http://127.0.0.1:{port}", "")
    with Processes(session) as processes:
        kubectl = [program("kubectl"), f"--kubeconfig={kubeconfig}"]
        processes.start("kubectl-proxy", [*kubectl, "proxy", f"--port={port}"])
        processes.wait_ready("kubectl-proxy", api.is_ready)
        if api.find("CustomResourceDefinition", "rayjobs.ray.io") is None:
            raise MissingToolError(f"the cluster of {kubeconfig} has no KubeRay; install it first")
        yield Cluster(api, kubeconfig, session, trust, server)


def _read_server(kubeconfig: Path, session: Path) -> tuple[str, Path]:
    kubectl = [program("kubectl"), f"--kubeconfig={kubeconfig}"]
    shown = subprocess.run(
        [*kubectl, "config", "view", "--raw", "--minify", "--flatten", "--output=json"],
        check=False,
        capture_output=True,
        text=True,
    )
    if shown.returncode:
        raise ClusterStartError(f"{kubeconfig} cannot be read: {shown.stderr.strip()}")
    cluster = json.loads(shown.stdout)["clusters"][0]["cluster"]
    trust = session / "trust.crt"
    trust.write_bytes(base64.b64decode(cluster.get("certificate-authority-data", "")))
    return cluster["server"], trust
