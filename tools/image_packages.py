"""Which packages an image holds: its member and all that this needs, as installed here.

`make licences` asks for the names; the tests of the supply chain compare them with the lock. The
images are built from the same lock, so they hold the same versions.
"""

import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["IMAGES", "list_packages"]

IMAGES = {"operator": "trimtab-operator", "trainer": "trimtab-trainer[cluster]"}
"""Image → what its Dockerfile installs."""


def list_packages(root: str) -> dict[str, str]:
    """Return name → version of a requirement and of all that it needs on this platform.

    Raises:
        PackageNotFoundError: One of them is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        package = distribution(name)
        found[name] = package.version
        for extra in {"", *wanted.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = map(Requirement, package.requires or ())
                waiting += [one for one in needs if _is_needed(one, extra)]
    return found


def _is_needed(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


if __name__ == "__main__":
    names = {name for image in sys.argv[1:] for name in list_packages(IMAGES[image])}
    print("\n".join(sorted(names)))
