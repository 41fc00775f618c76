"""etcd and kube-apiserver, and on top of them the controllers and the scheduler.

The fixtures of all tiers start their clusters here. Users are known by tokens, certificates are
those that the API server makes for itself; nothing listens beyond the address that is given.
"""

import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.access import Cluster, write_kubeconfig
from cluster.api import Api
from cluster.errors import MissingToolError
from cluster.processes import Processes, find_free_ports
from cluster.programs import program

__all__ = ["ControlPlane", "Network", "start_controllers", "start_servers"]


@dataclass(frozen=True, slots=True)
class Network:
    """Where the API server listens, and the ranges of services and pods."""

    address: str = "127.0.0.1"
    services: str = "10.96.0.0/16"
    pods: str = "10.244.0.0/16"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server and how its parts reach it."""

    cluster: Cluster
    processes: Processes
    network: Network
    tokens: dict[str, str] = field(repr=False)

    def user_kubeconfig(self, user: str) -> Path:
        """Return the kubeconfig file of one of the users that `start_servers` made."""
        path = self.cluster.folder / f"{user.replace(':', '-')}.kubeconfig"
        server = self.cluster.api.server
        return write_kubeconfig(path, server, self.tokens[user], self.cluster.trust)


_USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "system:node-proxier",
    "coredns": "system:masters",
    "kuberay": "system:masters",
    "system:node:node": "system:nodes",
}
"""User → group. KubeRay and CoreDNS get all rights: their own roles are not under test."""


def start_servers(
    processes: Processes, network: Network, extra_flags: Sequence[str] = ()
) -> ControlPlane:
    """Start etcd and the API server and wait until both answer.

    Raises:
        ClusterStartError: One of them does not start.
        MissingToolError: A program is missing and cannot be built.
    """
    folder = processes.folder
    client_port, peer_port, secure_port = find_free_ports(3)
    etcd = f"http://127.0.0.1:{client_port}"
    processes.start("etcd", _etcd_command(folder, etcd, f"http://127.0.0.1:{peer_port}"))
    health = Api(etcd, "")
    tokens = _write_tokens(folder)
    key = _make_key(folder)
    processes.wait_ready("etcd", lambda: _answers(health))
    processes.start(
        "kube-apiserver",
        [
            program("kube-apiserver"),
            f"--etcd-servers={etcd}",
            f"--bind-address={network.address}",
            f"--advertise-address={network.address}",
            f"--secure-port={secure_port}",
            f"--cert-dir={folder}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={network.services}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--kubelet-preferred-address-types=InternalIP",
            "--profiling=false",
            *extra_flags,
        ],
    )
    server = f"https://{network.address}:{secure_port}"
    untrusting = Api(server, tokens["admin"])
    processes.wait_ready("kube-apiserver", untrusting.is_ready)
    return _describe(processes, network, server, tokens)


def start_controllers(plane: ControlPlane, extra_flags: Sequence[str] = ()) -> None:
    """Start the controller manager and the scheduler.

    Args:
        plane: The servers that run already.
        extra_flags: Further flags of the controller manager.

    Raises:
        MissingToolError: A program is missing and cannot be built.
    """
    folder = plane.cluster.folder
    config = plane.user_kubeconfig("system:kube-controller-manager")
    plane.processes.start(
        "kube-controller-manager",
        [
            program("kube-controller-manager"),
            f"--kubeconfig={config}",
            f"--service-account-private-key-file={folder / 'account.key'}",
            f"--root-ca-file={plane.cluster.trust}",
            f"--cluster-cidr={plane.network.pods}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            *extra_flags,
        ],
    )
    config = plane.user_kubeconfig("system:kube-scheduler")
    plane.processes.start(
        "kube-scheduler",
        [
            program("kube-scheduler"),
            f"--kubeconfig={config}",
            "--leader-elect=false",
            "--secure-port=0",
        ],
    )


def _etcd_command(folder: Path, client: str, peer: str) -> list[str | Path]:
    return [
        program("etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _answers(etcd: Api) -> bool:
    try:
        return "true" in etcd.read_text("/health")
    except OSError:
        return False


def _write_tokens(folder: Path) -> dict[str, str]:
    tokens = {user: secrets.token_hex(16) for user in _USERS}
    lines = [f'{tokens[user]},{user},{user},"{group}"\n' for user, group in _USERS.items()]
    path = folder / "tokens.csv"
    path.touch(0o600)
    path.write_text("".join(lines))
    return tokens


def _make_key(folder: Path) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise MissingToolError("openssl is missing; install it with: apt-get install openssl")
    path = folder / "account.key"
    subprocess.run([openssl, "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    return path


def _describe(
    processes: Processes, network: Network, server: str, tokens: dict[str, str]
) -> ControlPlane:
    folder = processes.folder
    trust = folder / "apiserver.crt"
    kubeconfig = write_kubeconfig(folder / "admin.kubeconfig", server, tokens["admin"], trust)
    api = Api(server, tokens["admin"], trust.read_text())
    cluster = Cluster(api, kubeconfig, folder, trust, server)
    return ControlPlane(cluster, processes, network, tokens)
