"""The Go programs that the test clusters are made of, built once into the cache.

The fixtures ask for a program by name; `python -m cluster.build` builds all of them. Versions are
pinned by the go.mod and go.sum of each folder under `go/`.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster.cache import cache_folder, hash_parts, hold_lock
from cluster.errors import ClusterStartError
from cluster.toolchain import find_go

__all__ = ["PROGRAMS", "Program", "is_built", "module_folder", "program"]

_MODULES = Path(__file__).parent / "go"
_KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"
# Without it the server names no version and clients cannot parse what it says.
_KUBERNETES_FLAGS = (
    f"-X {_VERSION}.gitVersion={_KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"
)


# The Kubernetes for which it renders and lints where it asks no server.
_HELM_FLAGS = " ".join(
    f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={number}"
    for package in ("chartutil", "lint/rules")
    for part, number in (("Major", 1), ("Minor", 36))
)


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its module, the package in it, and extra flags of the linker."""

    name: str
    module: str
    package: str
    flags: str = ""

    @property
    def folder(self) -> Path:
        """The folder of the go.mod that pins the program."""
        return _MODULES / self.module

    @property
    def binary(self) -> Path:
        """Where the built program lies, by everything that it is built from."""
        pinned = [(self.folder / name).read_text() for name in ("go.mod", "go.sum")]
        return cache_folder() / hash_parts([*pinned, self.package, self.flags]) / self.name


def _kubernetes(name: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_FLAGS)


PROGRAMS = {
    entry.name: entry
    for entry in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-apiserver"),
        _kubernetes("kubectl"),
        Program("helm", "helm", "helm.sh/helm/v3/cmd/helm", _HELM_FLAGS),
        Program("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        Program("kuberay", "kuberay", "github.com/ray-project/kuberay/ray-operator"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        Program("coredns", "coredns", "github.com/coredns/coredns"),
        Program("pause", "pause", "trimtab.dev/tests/pause"),
    )
}
"""Name → program, in the order in which they are built."""


def program(name: str) -> Path:
    """Return the path of a program, built now if it never was.

    `KUBEBUILDER_ASSETS` names a folder whose programs are taken instead.

    Raises:
        MissingToolError: There is no Go to build it with.
        ClusterStartError: The build failed.
    """
    given = _given(name)
    if given is not None:
        return given
    wanted = PROGRAMS[name]
    if not wanted.binary.exists():
        with hold_lock(f"build-{wanted.module}"):
            if not wanted.binary.exists():
                _build(wanted)
    return wanted.binary


def is_built(name: str) -> bool:
    """Tell whether a program can be had without building it."""
    return _given(name) is not None or PROGRAMS[name].binary.exists()


def module_folder(name: str, module: str) -> Path:
    """Return the unpacked source of a module.

    Args:
        name: The folder of the go.mod that pins it.
        module: Its path.

    Raises:
        ClusterStartError: The module cannot be downloaded.
    """
    told = json.loads(_go(_MODULES / name, ["mod", "download", "-json", module]))
    return Path(told["Dir"])


def _given(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    given = Path(assets) / name if assets else None
    return given if given is not None and given.exists() else None


def _build(wanted: Program) -> None:
    wanted.binary.parent.mkdir(parents=True, exist_ok=True)
    unfinished = wanted.binary.with_suffix(".building")
    flags = f"-s -w {wanted.flags}".strip()
    arguments = ["build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), wanted.package]
    _go(wanted.folder, arguments)
    unfinished.rename(wanted.binary)


def _go(folder: Path, arguments: list[str]) -> str:
    needed = re.search(r"^go (\d+)\.(\d+)", (folder / "go.mod").read_text(), re.MULTILINE)
    if needed is None:
        raise ClusterStartError(f"{folder / 'go.mod'} has no go line")
    go = find_go((int(needed[1]), int(needed[2])))
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    done = subprocess.run(
        ["nice", "-n", "10", str(go), *arguments],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ClusterStartError(
            f"go {' '.join(arguments)} in {folder.name} failed: {done.stderr.strip()[-1500:]}"
        )
    return done.stdout
