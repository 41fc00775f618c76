"""What `cluster.*.template` may hold: an allow-list, so that nothing loosens the pods' security.

Called by `semantics`. The API server takes any object there, so this is where a service account, a
token, a folder of the host or a host namespace is refused, by the name of the key.
"""

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from trimtab_api.findings import Finding
from trimtab_api.rules import render_value
from trimtab_api.v1alpha1.job import Spec

__all__ = ["MOUNTED_FOLDERS", "TEMPLATE_KEYS", "check_templates"]

TEMPLATE_KEYS = (
    "affinity",
    "annotations",
    "labels",
    "runtimeClassName",
    "topologySpreadConstraints",
    "volumeMounts",
    "volumes",
)
"""The keys of a template."""

MOUNTED_FOLDERS = tuple(f"/{name}" for name in ("dev/shm", "etc/trimtab", "run", "tmp", "var/run"))
"""What is mounted in each pod already."""

Path = tuple[str | int, ...]

_LARGEST = 16 * 1024
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
_SOURCES = ("configMap", "emptyDir", "persistentVolumeClaim", "secret")
_MOUNT_KEYS = ("mountPath", "name", "readOnly", "subPath")
_OWN_VOLUMES = "trimtab-"
# Their labels say whose a pod is; their annotations change how it is made or guarded.
_OWN_PREFIXES = (
    "app.kubernetes.io/",
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "kueue.x-k8s.io/",
    "ray.io/",
    "seccomp.security.alpha.kubernetes.io/",
    "trimtab.dev/",
)


def check_templates(spec: Spec) -> Iterator[Finding]:
    """Yield a finding for each key of a template that is not allowed or has the wrong shape."""
    for name, group in (("head", spec.cluster.head), ("workers", spec.cluster.workers)):
        yield from _check_template(group.template, ("spec", "cluster", name, "template"))


def _check_template(template: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    size = len(json.dumps(template, separators=(",", ":")).encode())
    if size > _LARGEST:
        yield Finding(path, f"{size} bytes", f"must have at most {_LARGEST} bytes as JSON")
        return
    yield from _check_keys(template, TEMPLATE_KEYS, path)
    for key, value in template.items():
        yield from _check_part(key, value, (*path, key))
    if not any(_check_volumes(template.get("volumes", []), path)):
        yield from _check_mounts(template, path)


def _check_keys(
    value: Mapping[str, Any], allowed: tuple[str, ...], path: Path
) -> Iterator[Finding]:
    for key in value:
        if key not in allowed:
            yield Finding((*path, key), "", f"is not allowed here; allowed: {', '.join(allowed)}")


def _check_part(key: str, value: object, path: Path) -> Iterator[Finding]:
    match key:
        case "affinity":
            if isinstance(value, Mapping):
                yield from _check_keys(value, _AFFINITIES, path)
            else:
                yield Finding(path, render_value(value), "must be a mapping")
        case "topologySpreadConstraints":
            if not _is_list_of_mappings(value):
                yield Finding(path, render_value(value), "must be a list of mappings")
        case "runtimeClassName":
            if not isinstance(value, str) or not value:
                yield Finding(path, render_value(value), "must be a name")
        case "labels" | "annotations":
            yield from _check_marks(value, path)
        case "volumes":
            yield from _check_volumes(value, path)
        case _:
            return


def _check_marks(value: object, path: Path) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield Finding(path, render_value(value), "must be a mapping")
        return
    for key, text in value.items():
        if not isinstance(text, str):
            yield Finding((*path, key), render_value(text), "must be a string")
        elif key.startswith(_OWN_PREFIXES):
            yield Finding((*path, key), render_value(text), "must not be set: it is not the user's")


def _check_volumes(value: object, path: Path) -> Iterator[Finding]:
    if not _is_list_of_mappings(value):
        yield Finding(path, render_value(value), "must be a list of mappings")
        return
    names = [volume.get("name") for volume in value]
    for index, volume in enumerate(value):
        here: Path = (*path, index)
        name = volume.get("name")
        if not isinstance(name, str) or not name or name.startswith(_OWN_VOLUMES):
            expectation = f"must be a name that does not begin with {_OWN_VOLUMES}"
            yield Finding((*here, "name"), render_value(name), expectation)
        elif names.count(name) > 1:
            yield Finding((*here, "name"), render_value(name), "must be unique")
        yield from _check_source(volume, here)


def _check_source(volume: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    yield from _check_keys(volume, ("name", *_SOURCES), path)
    sources = [key for key in volume if key in _SOURCES]
    if len(sources) != 1:
        yield Finding(path, render_value(volume), f"must have exactly one of {', '.join(_SOURCES)}")
    for key in sources:
        if not isinstance(volume[key], Mapping):
            yield Finding((*path, key), render_value(volume[key]), "must be a mapping")


def _check_mounts(template: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    mounts = template.get("volumeMounts", [])
    if not _is_list_of_mappings(mounts):
        yield Finding((*path, "volumeMounts"), render_value(mounts), "must be a list of mappings")
        return
    names = {volume["name"] for volume in template.get("volumes", [])}
    for index, mount in enumerate(mounts):
        here: Path = (*path, "volumeMounts", index)
        yield from _check_keys(mount, _MOUNT_KEYS, here)
        if mount.get("name") not in names:
            expectation = "must be the name of a volume of this template"
            yield Finding((*here, "name"), render_value(mount.get("name")), expectation)
        folder = mount.get("mountPath")
        if not isinstance(folder, str) or not folder.startswith("/"):
            yield Finding((*here, "mountPath"), render_value(folder), "must be an absolute path")
        elif _is_taken(folder):
            expectation = f"must not lie in or above {', '.join(MOUNTED_FOLDERS)}"
            yield Finding((*here, "mountPath"), render_value(folder), expectation)


def _is_taken(folder: str) -> bool:
    wanted = posixpath.normpath(folder).rstrip("/") + "/"
    taken = [f"{own}/" for own in MOUNTED_FOLDERS]
    return any(wanted.startswith(own) or own.startswith(wanted) for own in taken)


def _is_list_of_mappings(value: object) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
