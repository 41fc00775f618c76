"""Container images without an engine: archives that containerd imports.

The node has four: the pause image and KubeRay's, each one static program, written from folders; the
operator's and the trainer's, built from their Dockerfiles on a Debian with Python. The packages of this
checkout's environment are mounted where the trainer runs, so that no package is copied.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.built_images import (
    OPERATOR_IMAGE,
    TRAINER_IMAGE,
    Base,
    Packages,
    make_operator,
    make_trainer,
)
from cluster.cache import cache_folder, hash_parts, hold_lock
from cluster.errors import ClusterStartError, MissingToolError
from cluster.programs import program

__all__ = [
    "KUBERAY_IMAGE",
    "OPERATOR_IMAGE",
    "PAUSE_IMAGE",
    "TRAINER_IMAGE",
    "make_archives",
    "package_mounts",
]

PAUSE_IMAGE = "trimtab.test/pause:1"
KUBERAY_IMAGE = "trimtab.test/kuberay:1"
_BASE_IMAGE = "trimtab.test/python:1"

_ROOT = Path(__file__).parents[3]
# Not below /tmp, where pods mount a folder of their own.
_INSIDE = Path("/opt/trimtab")
_POD_CODE = "tests/support/cluster/pod_code"
_PACKAGES = ("python3", "python3-pip", "libstdc++6", "libgomp1", "ca-certificates", "wget")
_SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RAY = "#!/usr/bin/python3\nfrom ray.scripts.scripts import main\n\nmain()\n"


@dataclass(frozen=True, slots=True)
class _Image:
    """What runs in a root folder."""

    tag: str
    entrypoint: Sequence[str] = ()


def package_mounts(folder: Path) -> dict[str, Path]:
    """Return what all containers of the node see: path inside → folder of this machine.

    Args:
        folder: Gets a copy of the modules of tests, so that an edit during the tests changes nothing.

    Raises:
        MissingToolError: This Python is not of the version that the image has, or Ray has no
            dashboard, without which no job can be submitted.
    """
    if sys.version_info[:2] != (3, 11):
        raise MissingToolError(
            f"the test node shares this environment with Debian 12's Python 3.11, but it has"
            f" {sys.version_info.major}.{sys.version_info.minor}; make .venv with Python 3.11"
        )
    if find_spec("aiohttp_cors") is None:
        raise MissingToolError("ray[default] is not installed; install it beside ray in .venv")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_ROOT / _POD_CODE, folder, ignore=ignored)
    packages = _find_packages()
    return {packages.inside: packages.here, packages.path: folder}


def _find_packages() -> Packages:
    here = Path(sys.prefix) / "lib" / "python3.11" / "site-packages"
    return Packages(here, inside=str(_INSIDE / "packages"), path=str(_INSIDE / "pod-code"))


def make_archives() -> list[Path]:
    """Return archives of all images of the node, made now where the cache has none.

    Raises:
        MissingToolError: debootstrap or buildah is missing.
        ClusterStartError: An image could not be made.
    """
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock("images"):
        python = Base(_python_archive(folder), _BASE_IMAGE)
        return [
            _static_archive(folder, PAUSE_IMAGE, program("pause")),
            _static_archive(folder, KUBERAY_IMAGE, program("kuberay")),
            make_operator(python),
            make_trainer(python, _find_packages()),
        ]


def _static_archive(folder: Path, tag: str, binary: Path) -> Path:
    path = folder / f"{binary.name}-{hash_parts([str(binary)])}.tar"
    if not path.exists():
        with tempfile.TemporaryDirectory() as root:
            target = Path(root) / "program"
            shutil.copy(binary, target)
            target.chmod(0o755)
            _write_archive(path, Path(root), _Image(tag, ["/program"]))
    return path


def _python_archive(folder: Path) -> Path:
    image = _Image(_BASE_IMAGE)
    path = folder / f"python-{hash_parts([*_PACKAGES, _RAY, repr(_describe(image, ''))])}.tar"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as root:
            _bootstrap(Path(root))
            _write_archive(path, Path(root), image)
    return path


def _bootstrap(root: Path) -> None:
    debootstrap = shutil.which("debootstrap", path="/usr/sbin:/usr/bin")
    if debootstrap is None:
        raise MissingToolError("debootstrap is missing; apt-get install debootstrap")
    included = f"--include={','.join(_PACKAGES)}"
    command: list[str | Path] = [debootstrap, "--variant=minbase", included, "bookworm", root]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ClusterStartError(f"debootstrap failed: {done.stdout.strip()[-800:]}")
    root.chmod(0o755)
    scripts = root / "usr" / "local" / "bin"
    (scripts / "python").symlink_to("/usr/bin/python3")
    (scripts / "ray").write_text(_RAY)
    (scripts / "ray").chmod(0o755)
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / waste, ignore_errors=True)


def _write_archive(path: Path, root: Path, image: _Image) -> None:
    """Write an archive of an image with one layer."""
    unfinished = path.with_suffix(".part")
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as files:
        files.add(root, arcname=".")
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    text = json.dumps(_describe(image, digest)).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    entry = {"Config": name, "RepoTags": [image.tag], "Layers": ["layer.tar"]}
    with tarfile.open(unfinished, "w") as archive:
        _add_bytes(archive, name, text)
        _add_bytes(archive, "manifest.json", json.dumps([entry]).encode())
        archive.add(layer, arcname="layer.tar")
    layer.unlink()
    unfinished.rename(path)


def _describe(image: _Image, digest: str) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Env": [f"PATH={_SEARCHED}", "LANG=C.UTF-8"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        # Without it buildah cannot count the layers of what it builds on this.
        "history": [{"created_by": "the tests of Trimtab"}],
    }


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
