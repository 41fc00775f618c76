"""The configuration files of the programs of a node: containerd, CNI, kubelet, CoreDNS.

Pure: `node` writes what these return.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CNI_PLUGINS",
    "POD_BRIDGE",
    "NodeFolders",
    "render_cni",
    "render_containerd",
    "render_coredns",
    "render_kubelet",
    "render_runtime_spec",
]

CNI_PLUGINS = Path("/usr/lib/cni")
"""Where Debian's containernetworking-plugins are."""

POD_BRIDGE = "k8s-pods"
"""The bridge that leads to the pods of the node."""


@dataclass(frozen=True, slots=True)
class NodeFolders:
    """What stays between sessions (images), what a boot forgets (state), and this session's."""

    images: Path
    state: Path
    session: Path

    @property
    def socket(self) -> Path:
        """The socket of containerd."""
        return self.state / "containerd.sock"


def render_containerd(folders: NodeFolders, pause_image: str) -> str:
    """Return the TOML of containerd.

    `restrict_oom_score_adj` is for machines without CAP_SYS_RESOURCE, where every sandbox would
    die otherwise.
    """
    return f"""version = 2
root = "{folders.images}"
state = "{folders.state / "containerd"}"
[grpc]
address = "{folders.socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folders.session / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folders.session / "cni"}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{folders.session / "runtime-spec.json"}"
"""


def render_runtime_spec(default: str, mounts: Mapping[str, Path]) -> str:
    """Return the specification that every container starts from: the default and our mounts."""
    spec: dict[str, Any] = json.loads(default)
    spec["mounts"] += [
        {
            "destination": inside,
            "type": "bind",
            "source": str(folder),
            "options": ["rbind", "ro", "nosuid", "nodev"],
        }
        for inside, folder in mounts.items()
    ]
    return json.dumps(spec)


def render_cni(pods: str) -> str:
    """Return the network of pods: a bridge that leads to this machine and no further."""
    plugin = {
        "type": "bridge",
        "bridge": POD_BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "trimtab-pods", "plugins": [plugin]})


def render_kubelet(folders: NodeFolders, address: str) -> str:
    """Return the configuration of the kubelet, as JSON."""
    limits = {"memory.available": "64Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": address,
            "containerRuntimeEndpoint": f"unix://{folders.socket}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [address],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "podLogsDir": str(folders.session / "pod-logs"),
            "healthzPort": 0,
            "makeIPTablesUtilChains": False,
            # Reachable from this machine and its pods only.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "evictionHard": limits,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "5s",
        },
        indent=2,
    )


def render_coredns(address: str, kubeconfig: Path) -> str:
    """Return the Corefile: names of the cluster, and nothing beyond it."""
    return f""".:53 {{
    bind {address}
    errors
    kubernetes cluster.local {{
        kubeconfig {kubeconfig} test
    }}
}}
"""
