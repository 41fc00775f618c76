"""The images of tier N that are built from our Dockerfiles, as users build theirs.

buildah builds without a daemon, on the tests' own Debian, since no registry is asked. An image is
built anew when its Dockerfile, the lock or its sources change. What this machine needs to reach its
package index is mounted while building and is in no layer.

The trainer's 6 GB of packages are not copied: its base says that it has those of this environment,
which are mounted while building, as they are on the node.
"""

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.cache import cache_folder, hash_parts
from cluster.errors import ClusterStartError, MissingToolError
from trimtab_codegen.chart_values import ChartValues

__all__ = ["OPERATOR_IMAGE", "TRAINER_IMAGE", "Base", "Packages", "make_operator", "make_trainer"]

# Named as in a release, so that its chart finds them.
OPERATOR_IMAGE = ChartValues().image.reference()
TRAINER_IMAGE = ChartValues().trainer_image.reference()

_ROOT = Path(__file__).parents[3]
_CERTIFICATES = Path("/etc/ssl/certs")
_PIP_SETTINGS = Path("/etc/pip.conf")
_OLD_SECONDS = 24 * 3600
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
_LADEN = "trimtab.test/laden:1"
# Where Debian's Python has what pip and uv install.
_SITE = "/usr/local/lib/python3.11/dist-packages"


@dataclass(frozen=True, slots=True)
class Base:
    """An archive with an image that has Python and pip, and the image's name in it."""

    archive: Path
    tag: str


@dataclass(frozen=True, slots=True)
class Packages:
    """Packages that are mounted wherever the trainer's image is used.

    Attributes:
        here: Their folder on this machine.
        inside: Where it is mounted.
        path: What else is on the Python path of the image: modules of the tests.
    """

    here: Path
    inside: str
    path: str


@dataclass(frozen=True, slots=True)
class _Recipe:
    """One image: its name, its Dockerfile and what goes into it."""

    name: str
    tag: str
    dockerfile: Path
    members: tuple[str, ...]
    packages: Packages | None = None

    def read_sources(self) -> list[str]:
        """Return all that the image is made from, as text."""
        files = [_ROOT / ".dockerignore", _ROOT / "requirements.lock", self.dockerfile]
        for member in self.members:
            files.append(_ROOT / member / "pyproject.toml")
            paths = sorted((_ROOT / member / "src").rglob("*"))
            files += [path for path in paths if path.is_file() and path.suffix != ".pyc"]
        texts = [f"{file.relative_to(_ROOT)}\n{file.read_text(encoding='utf-8')}" for file in files]
        found = self.packages
        # Not where they lie on this machine: the lock says what they are.
        return [*texts, self.tag, *((found.inside, found.path) if found else ())]


def make_operator(base: Base) -> Path:
    """Return an archive of the operator's image, built now where the cache has none of its kind.

    Raises:
        MissingToolError: buildah is missing.
        ClusterStartError: The image could not be built; with the end of what buildah said.
    """
    dockerfile = _ROOT / "operator" / "Dockerfile"
    return _make(_Recipe("operator", OPERATOR_IMAGE, dockerfile, ("api", "operator")), base)


def make_trainer(base: Base, packages: Packages) -> Path:
    """Return an archive of the trainer's image, built now where the cache has none of its kind.

    Args:
        base: On which it is built.
        packages: What the base is to have of the lock already.

    Raises:
        MissingToolError: buildah is missing.
        ClusterStartError: The image could not be built; with the end of what buildah said.
    """
    dockerfile = _ROOT / "trainer-image" / "Dockerfile"
    members = ("api", "trainer-image")
    return _make(_Recipe("trainer", TRAINER_IMAGE, dockerfile, members, packages), base)


def _make(recipe: _Recipe, base: Base) -> Path:
    folder = cache_folder() / "images"
    path = folder / f"{recipe.name}-{hash_parts([base.archive.name, *recipe.read_sources()])}.tar"
    if path.exists():
        return path
    for old in folder.glob(f"{recipe.name}-*"):
        # Newer ones may be those of other checkouts, which use the same cache.
        if old.stat().st_mtime < time.time() - _OLD_SECONDS:
            old.unlink()
    # Copies of whole roots come and go here.
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _Builder(Path(work)).make(recipe, base, path)
    return path


@dataclass(frozen=True, slots=True)
class _Builder:
    """buildah with a store of its own."""

    work: Path

    def make(self, recipe: _Recipe, base: Base, path: Path) -> None:
        self._policy.write_text(json.dumps(_POLICY))
        start = f"docker-archive:{base.archive}:{base.tag}"
        mounts = self._settings()
        if recipe.packages is not None:
            start = self._load(start, recipe.packages)
            mounts[recipe.packages.here] = recipe.packages.inside
        options = [f"--build-arg=BASE_IMAGE={start}", f"--file={recipe.dockerfile}"]
        options += [f"--volume={here}:{inside}:ro" for here, inside in mounts.items()]
        self._build(recipe.tag, _ROOT, *options)
        unfinished = path.with_suffix(".part")
        target = f"docker-archive:{unfinished}:{recipe.tag}"
        self._run("push", f"--signature-policy={self._policy}", recipe.tag, target)
        unfinished.rename(path)

    def _load(self, start: str, packages: Packages) -> str:
        """Return an image that says of itself that it has packages, and finds them once mounted.

        Installers go by the metadata, which are small; Python by the path.
        """
        context = self.work / "laden"
        for found in packages.here.glob("*.dist-info"):
            if not found.name.startswith("trimtab_"):
                (context / found.name).mkdir(parents=True)
                shutil.copy(found / "METADATA", context / found.name)
        (context / "packages.pth").write_text(f"{packages.inside}\n")
        lines = (f"FROM {start}", f"COPY . {_SITE}/", f"ENV PYTHONPATH={packages.path}")
        dockerfile = self.work / "Dockerfile"
        dockerfile.write_text("\n".join(lines))
        self._build(_LADEN, context, f"--file={dockerfile}")
        return _LADEN

    @property
    def _policy(self) -> Path:
        return self.work / "policy.json"

    def _settings(self) -> dict[Path, str]:
        """Return what shows pip and uv the certificates and the index of this machine."""
        uv_settings = self.work / "uv.toml"
        uv_settings.write_text("system-certs = true\n")
        given = {_CERTIFICATES: str(_CERTIFICATES), uv_settings: "/etc/uv/uv.toml"}
        if _PIP_SETTINGS.is_file():
            given[_PIP_SETTINGS] = str(_PIP_SETTINGS)
        return given

    def _build(self, tag: str, context: Path, *options: str) -> None:
        fixed = ("--isolation=chroot", f"--signature-policy={self._policy}", f"--tag={tag}")
        self._run("bud", *fixed, *options, str(context))

    def _run(self, command: str, *arguments: str) -> None:
        buildah = shutil.which("buildah")
        if buildah is None:
            raise MissingToolError("buildah is missing; apt-get install buildah")
        store = (f"--root={self.work / 'root'}", f"--runroot={self.work / 'run'}")
        done = subprocess.run(
            [buildah, *store, "--storage-driver=vfs", command, *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ClusterStartError(f"buildah {command} failed: {done.stderr.strip()[-800:]}")
