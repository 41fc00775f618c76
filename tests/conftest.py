"""What holds for all tests: the S3 marker, what is built first, and what may run at the same time.

What a marked test needs is built before the first one runs.

`pytest -n 2` runs two groups at once. Tests of a file stay together, since they share what is costly
to make; so do all files that start Ray here, which two cores carry once, and all of one tier of
clusters, whose servers are started once. Whole commands with a Ray of their own are least sensitive
to company: few in a file, they come last and fill the process that is done with the rest.
"""

import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from typing_extensions import override
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import trimtab_trainer.execution  # noqa: F401 before a test imports Ray, which reads what it sets
from cluster.errors import ClusterStartError, MissingToolError
from cluster.existing import given_kubeconfig
from cluster.images import make_archives
from cluster.programs import is_built, program

# No test judges times: a disk may be busy for a while.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

_SERVERS = ("etcd", "kube-apiserver", "kubectl")
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kuberay")
_NODE = ("helm", "kubelet", "kube-proxy", "coredns", "pause")
NEEDED = {
    "helm": ("helm",),
    "cluster_a": _SERVERS,
    "cluster_k": (*_SERVERS, *_CONTROLLERS),
    "cluster_n": (*_SERVERS, *_CONTROLLERS, *_NODE),
}

_SHARED = re.compile(r"mark\.(cluster_[akn]|ray)\b|(s3)_server")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the server that it needs, so that a run can leave out what must be built."""
    if "s3_server" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.s3)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the missing programs and images here, where no test's time limit counts."""
    markers = {mark.name for item in session.items for mark in item.iter_markers()}
    needed = {name for marker in NEEDED if marker in markers for name in NEEDED[marker]}
    missing = [name for name in sorted(needed) if not is_built(name)]
    if session.config.option.collectonly:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        for name in missing:
            if reporter is not None:
                reporter.write_line(f"building {name}, once: minutes")
            program(name)
    except (MissingToolError, ClusterStartError) as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    if "cluster_n" in markers and given_kubeconfig() is None:
        # The node asks for them again, and then it is the tests on it that fail.
        with suppress(MissingToolError, ClusterStartError):
            make_archives()


class GroupScheduling(LoadScopeScheduling):
    """Gives a process one group of tests after another."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        path, *_ = nodeid.split("::")
        return _find_group(self.config.rootpath / path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    """Replace `--dist loadgroup`, which changes ids of tests in a way that pytest 9.2 ignores."""
    return GroupScheduling(config, log)


@cache
def _find_group(path: Path) -> str:
    found = _SHARED.search(path.read_text("utf-8"))
    return str(path) if found is None else found[1] or found[2]
