"""A real node on this machine: containerd, kubelet, kube-proxy and CoreDNS beside the servers.

Tier N uses it; needs root and Debian's packages. One node runs at a time. All network is a bridge
of its own: pods reach this machine and each other, and nothing else.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.audit_log import audit_flags
from cluster.cache import cache_folder, hold_lock
from cluster.control_plane import ControlPlane, Network, start_controllers, start_servers
from cluster.errors import ClusterStartError, MissingToolError
from cluster.images import PAUSE_IMAGE, make_archives, package_mounts
from cluster.node_settings import (
    CNI_PLUGINS,
    POD_BRIDGE,
    NodeFolders,
    render_cni,
    render_containerd,
    render_coredns,
    render_kubelet,
    render_runtime_spec,
)
from cluster.processes import Processes
from cluster.programs import program

__all__ = ["NODE", "start_node"]

NODE = "node"
_NETWORK = Network(address="10.245.0.1")
_PODS = "10.244.0.0/24"
_BRIDGES = ("k8s0", POD_BRIDGE)
_GPUS = "4"
_STATE = Path("/run/trimtab-test-node")
_PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}
"""Program → Debian package."""


@contextmanager
def start_node(session: Path) -> Iterator[ControlPlane]:
    """Run a cluster with one real node until the context ends.

    Args:
        session: A folder of this session, for logs and settings.

    Raises:
        MissingToolError: Packages or rights are missing; the text names them.
        ClusterStartError: A program does not start.
    """
    _require_tools()
    folders = NodeFolders(cache_folder() / "containerd", _STATE, session)
    with (
        hold_lock("node"),
        _bridge(),
        _network_namespaces(),
        Processes(session) as processes,
    ):
        plane = start_servers(processes, _NETWORK, audit_flags(processes.folder))
        start_controllers(plane)
        _start_containerd(processes, folders)
        try:
            _start_kubelet(plane, folders)
            _start_network(plane)
            _add_gpus(plane)
            yield plane
        finally:
            if processes.is_running("kubelet"):
                processes.stop("kubelet")
            _remove_containers(folders)
            _unmount_below(session)


def _require_tools() -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {
        package for name, package in _PACKAGES.items() if shutil.which(name, path=path) is None
    }
    if not (CNI_PLUGINS / "bridge").exists():
        missing.add("containernetworking-plugins")
    if missing:
        raise MissingToolError(
            f"a node needs Debian packages: apt-get install {' '.join(sorted(missing))}"
        )
    if os.geteuid() != 0:
        raise MissingToolError("a node needs root: run the tests of tier N as root")


@contextmanager
def _bridge() -> Iterator[None]:
    """Give this machine the address of the API server, on a bridge that leads nowhere."""
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before = forwarding.read_text()
    _remove_bridges()
    bridge = _BRIDGES[0]
    _run("ip", "link", "add", bridge, "type", "bridge")
    try:
        _run("ip", "address", "add", f"{_NETWORK.address}/32", "dev", bridge)
        _run("ip", "link", "set", bridge, "up")
        # An address that is not local would be looked for outside of this machine.
        if _NETWORK.address not in _run("ip", "-brief", "address", "show", "dev", bridge):
            raise ClusterStartError(f"{bridge} did not get the address {_NETWORK.address}")
        forwarding.write_text("1")
        yield
    finally:
        _remove_bridges()
        _try("nft", "delete", "table", "ip", "kube-proxy")
        _try("nft", "delete", "table", "ip6", "kube-proxy")
        forwarding.write_text(before)


@contextmanager
def _network_namespaces() -> Iterator[None]:
    """Remove the network namespaces of pods that were not taken down by the kubelet."""
    before = _list_namespaces()
    try:
        yield
    finally:
        for name in _list_namespaces() - before:
            _run("ip", "netns", "delete", name)


def _list_namespaces() -> set[str]:
    return {name for name in _run("ip", "netns", "list").split() if name.startswith("cni-")}


def _remove_bridges() -> None:
    for bridge in _BRIDGES:
        _try("ip", "link", "delete", bridge)


def _start_containerd(processes: Processes, folders: NodeFolders) -> None:
    for folder in (folders.images, folders.state, folders.session / "cni"):
        folder.mkdir(parents=True, exist_ok=True)
    settings = folders.session / "containerd.toml"
    settings.write_text(render_containerd(folders, PAUSE_IMAGE))
    spec = render_runtime_spec(
        _run("ctr", "oci", "spec"), package_mounts(folders.session / "pod-code")
    )
    (folders.session / "runtime-spec.json").write_text(spec)
    (folders.session / "cni" / "pods.conflist").write_text(render_cni(_PODS))
    processes.start("containerd", ["containerd", "--config", settings])
    processes.wait_ready("containerd", lambda: _ctr_answers(folders))
    _remove_containers(folders)  # of a session that was killed
    present = _ctr(folders, "images", "list", "--quiet").split()
    for archive in make_archives():
        # The store knows one image by a name: the last that was imported.
        mark = folders.images / f"{archive.name.partition('-')[0]}.imported"
        if not (present and mark.exists() and mark.read_text() == archive.name):
            _ctr(folders, "images", "import", str(archive))
            mark.write_text(archive.name)


def _start_kubelet(plane: ControlPlane, folders: NodeFolders) -> None:
    settings = folders.session / "kubelet.json"
    settings.write_text(render_kubelet(folders, plane.network.address))
    # containerd answers before its part for the kubelet does, and the kubelet asks only once.
    plane.processes.wait_ready(
        "containerd", lambda: "Start streaming server" in plane.processes.read_log("containerd")
    )
    plane.processes.start(
        "kubelet",
        [
            program("kubelet"),
            f"--config={settings}",
            f"--kubeconfig={plane.user_kubeconfig(f'system:node:{NODE}')}",
            f"--hostname-override={NODE}",
            f"--node-ip={plane.network.address}",
            f"--root-dir={folders.session / 'kubelet'}",
            f"--cert-dir={folders.session / 'kubelet-pki'}",
        ],
    )
    plane.processes.wait_ready("kubelet", lambda: _is_node_ready(plane))


def _start_network(plane: ControlPlane) -> None:
    address = plane.network.address
    plane.processes.start(
        "kube-proxy",
        [
            program("kube-proxy"),
            f"--kubeconfig={plane.user_kubeconfig('system:kube-proxy')}",
            f"--hostname-override={NODE}",
            f"--bind-address={address}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={_PODS}",
            # The answer of a pod on the same bridge would not come back through this machine.
            "--masquerade-all",
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            f"--metrics-bind-address={address}:10249",
            f"--healthz-bind-address={address}:10256",
        ],
    )
    corefile = plane.cluster.folder / "Corefile"
    corefile.write_text(render_coredns(address, plane.user_kubeconfig("coredns")))
    plane.processes.start("coredns", [program("coredns"), "-conf", corefile])


def _add_gpus(plane: ControlPlane) -> None:
    """Give the node GPUs that the scheduler and KubeRay count; no program can use them."""
    changes = {"status": {"capacity": {"nvidia.com/gpu": _GPUS}}}
    plane.cluster.api.patch("Node", NODE, changes, subresource="/status")


def _is_node_ready(plane: ControlPlane) -> bool:
    node = plane.cluster.api.find("Node", NODE)
    conditions = node["status"].get("conditions", ()) if node else ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _remove_containers(folders: NodeFolders) -> None:
    for task in _ctr(folders, "tasks", "list", "--quiet").split():
        _try(*_ctr_command(folders), "tasks", "delete", "--force", task)
    for container in _ctr(folders, "containers", "list", "--quiet").split():
        _try(*_ctr_command(folders), "containers", "delete", container)
    shutil.rmtree("/var/lib/cni/networks/trimtab-pods", ignore_errors=True)


def _unmount_below(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed(mounted):
        if path.startswith(f"{folder}/"):
            _try("umount", "--lazy", path)


def _ctr_answers(folders: NodeFolders) -> bool:
    try:
        _ctr(folders, "version")
    except ClusterStartError:
        return False
    return True


def _ctr(folders: NodeFolders, *arguments: str) -> str:
    return _run(*_ctr_command(folders), *arguments)


def _ctr_command(folders: NodeFolders) -> list[str]:
    return ["ctr", "--address", str(folders.socket), "--namespace", "k8s.io"]


def _try(*command: str) -> None:
    """Run a command that takes something away which may be gone already."""
    subprocess.run(command, check=False, capture_output=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ClusterStartError(f"{' '.join(command[:6])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
