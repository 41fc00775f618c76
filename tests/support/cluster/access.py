"""How tests and programs reach a cluster: kubeconfig files, users, and accounts of pods.

The control plane makes one `Cluster`; an existing one is read from a kubeconfig.
"""

import base64
import json
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.api import Api, Manifest
from cluster.errors import ClusterStartError
from cluster.programs import program

__all__ = ["Cluster", "write_kubeconfig"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster.

    Attributes:
        api: The administrator's client.
        kubeconfig: The administrator's file.
        folder: Logs and files of its programs.
        trust: File of the certificates that sign the server's.
        server: Address of the API server itself.
    """

    api: Api
    kubeconfig: Path
    folder: Path
    trust: Path
    server: str

    def account_api(self, namespace: str, name: str) -> Api:
        """Return a client that is a service account, by a token made now."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        made = self.api.request("POST", path, body=request)
        return Api(self.server, made["status"]["token"], self.trust.read_text() or None)

    def account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig file of a service account."""
        api = self.account_api(namespace, name)
        path = self.folder / f"{namespace}-{name}.kubeconfig"
        return write_kubeconfig(path, api.server, api.token, self.trust)

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Run kubectl as the administrator and return what it prints.

        Raises:
            ClusterStartError: It fails; with its words.
        """
        done = subprocess.run(
            [program("kubectl"), "--kubeconfig", self.kubeconfig, *arguments],
            check=False,
            input=text,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ClusterStartError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def write_kubeconfig(path: Path, server: str, token: str, trust: Path | None) -> Path:
    """Write a kubeconfig with one user, who has a token, and return its path."""
    cluster: Manifest = {"server": server}
    if trust is not None:
        text = trust.read_text()
        ssl.create_default_context(cadata=text)  # a broken file is named here, not by a client
        cluster["certificate-authority-data"] = base64.b64encode(text.encode()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path
