"""The operator's image of tier N, built from `operator/Dockerfile` as users build theirs.

buildah builds without a daemon, on the tests' own Debian, since no registry is asked. It is built
anew when the Dockerfile, the lock or the sources change. What this machine needs to reach its
package index is mounted while building and is in no layer.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster.cache import cache_folder, hash_parts
from cluster.errors import ClusterStartError, MissingToolError

__all__ = ["OPERATOR_IMAGE", "make_operator_archive"]

OPERATOR_IMAGE = "trimtab.test/operator:1"

_ROOT = Path(__file__).parents[3]
_DOCKERFILE = _ROOT / "operator" / "Dockerfile"
_SOURCES = ("api", "operator")
_CERTIFICATES = Path("/etc/ssl/certs")
_PIP_SETTINGS = Path("/etc/pip.conf")
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


def make_operator_archive(base: Path, base_tag: str) -> Path:
    """Return an archive of the operator's image, built now where the cache has none of its kind.

    Args:
        base: An archive with an image that has Python and pip.
        base_tag: The name of that image.

    Raises:
        MissingToolError: buildah is missing.
        ClusterStartError: The image could not be built; with the end of what buildah said.
    """
    folder = cache_folder() / "images"
    path = folder / f"operator-{hash_parts([base.name, *_read_sources()])}.tar"
    if path.exists():
        return path
    for old in folder.glob("operator-*"):
        old.unlink()
    # Copies of whole roots come and go here.
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _build(Path(work), f"docker-archive:{base}:{base_tag}", path)
    return path


def _read_sources() -> list[str]:
    files = [_ROOT / ".dockerignore", _ROOT / "requirements.lock", _DOCKERFILE]
    for name in _SOURCES:
        files.append(_ROOT / name / "pyproject.toml")
        files.extend(sorted((_ROOT / name / "src").rglob("*.py")))
    return [f"{file.relative_to(_ROOT)}\n{file.read_text(encoding='utf-8')}" for file in files]


def _build(work: Path, base: str, path: Path) -> None:
    policy = work / "policy.json"
    policy.write_text(json.dumps(_POLICY))
    unfinished = path.with_suffix(".part")
    _run_buildah(
        work,
        *("bud", "--isolation=chroot", f"--signature-policy={policy}"),
        *(f"--build-arg=BASE_IMAGE={base}", f"--file={_DOCKERFILE}", f"--tag={OPERATOR_IMAGE}"),
        *_mount_settings(work),
        str(_ROOT),
    )
    target = f"docker-archive:{unfinished}:{OPERATOR_IMAGE}"
    _run_buildah(work, "push", f"--signature-policy={policy}", OPERATOR_IMAGE, target)
    unfinished.rename(path)


def _mount_settings(work: Path) -> list[str]:
    """Return options that show pip and uv the certificates and the index of this machine."""
    uv_settings = work / "uv.toml"
    uv_settings.write_text("system-certs = true\n")
    mounts = {_CERTIFICATES: _CERTIFICATES, uv_settings: Path("/etc/uv/uv.toml")}
    if _PIP_SETTINGS.is_file():
        mounts[_PIP_SETTINGS] = _PIP_SETTINGS
    return [f"--volume={here}:{inside}:ro" for here, inside in mounts.items()]


def _run_buildah(work: Path, command: str, *arguments: str) -> None:
    buildah = shutil.which("buildah")
    if buildah is None:
        raise MissingToolError("buildah is missing; apt-get install buildah")
    storage = (f"--root={work / 'root'}", f"--runroot={work / 'run'}", "--storage-driver=vfs")
    done = subprocess.run(
        [buildah, *storage, command, *arguments], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ClusterStartError(f"buildah {command} failed: {done.stderr.strip()[-800:]}")
