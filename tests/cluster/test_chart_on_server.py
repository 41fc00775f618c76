"""The chart on a real API server: accepted, installed, upgraded, rolled back, removed without a trace."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.api import Manifest
from cluster.definitions import (
    apply_definitions,
    own_definitions,
    remove_definitions,
    wait_until_served,
)
from cluster.fixtures import NamespaceMaker
from cluster.leftovers import list_objects
from cluster.watched_job import make_job
from helm_chart import (
    ALL_VALUES,
    CHART,
    NAMESPACE,
    RELEASE,
    HelmError,
    Values,
    find_manifest,
    render,
    render_hooks,
    run_helm,
)
from source_tree import ROOT
from trimtab_cli.doctor.installation import INSTALL

pytestmark = [pytest.mark.cluster_a, pytest.mark.helm]
# Releases that take seconds, or whose check is a process of the operator.
slow = pytest.mark.slow

DEFINITION = "optimizationjobs.trimtab.dev"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
OPERATOR = f"{RELEASE}-operator"
NO_DEFINITION: Values = {"crds": {"install": False}}
# A column that the definition of an earlier release lacked.
NEWEST = "    - name: Age\n      type: date\n      jsonPath: .metadata.creationTimestamp\n"


@pytest.fixture(autouse=True)
def without_rights(api_server: Cluster) -> None:
    """Take away what earlier tests of the operator installed; each installs its own."""
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        if api_server.api.find(kind, OPERATOR) is not None:
            api_server.api.delete(kind, OPERATOR)
    for kind in ("NetworkPolicy", "ServiceAccount"):
        if api_server.api.find(kind, OPERATOR, NAMESPACE) is not None:
            api_server.api.delete(kind, OPERATOR, NAMESPACE)


@pytest.fixture
def bare_server(api_server: Cluster) -> Iterator[Cluster]:
    """The cluster without our definition, which is there again for the tests after this one."""
    remove_definitions(api_server.api, own_definitions())
    yield api_server
    if api_server.api.find("CustomResourceDefinition", DEFINITION) is not None:
        remove_definitions(api_server.api, own_definitions())
    apply_definitions(api_server.api, own_definitions())


def run_release(cluster: Cluster, namespace: str, *arguments: str) -> str:
    return run_helm(*arguments, "--namespace", namespace, cluster=cluster)


def read_operator(cluster: Cluster, namespace: str) -> Manifest:
    return cluster.api.get("Deployment", OPERATOR, namespace)


def list_columns(cluster: Cluster) -> list[str]:
    definition = cluster.api.get("CustomResourceDefinition", DEFINITION)
    (version,) = definition["spec"]["versions"]
    return [column["name"] for column in version["additionalPrinterColumns"]]


def write_old_chart(folder: Path) -> Path:
    """Return a copy of the chart whose definition has a column less."""
    chart = shutil.copytree(CHART, folder / "old")
    path = chart / "files" / "crds" / f"{DEFINITION}.yaml"
    text = path.read_text(encoding="utf-8")
    assert NEWEST in text
    path.write_text(text.replace(NEWEST, ""), encoding="utf-8")
    return Path(chart)


def make_operator_pod(manifests: list[Manifest]) -> Manifest:
    """Return the pod that the Deployment would have."""
    deployment = find_manifest(manifests, "Deployment")
    metadata = {"name": OPERATOR, "namespace": deployment["metadata"]["namespace"]}
    template = deployment["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **metadata},
        "spec": template["spec"],
    }


@dataclass(frozen=True, slots=True)
class Check:
    """The pod of `helm test`, run as a process with the account of the pod."""

    cluster: Cluster
    pod: Manifest

    def run(self) -> tuple[int, list[str]]:
        """Return its exit status and what it complains of."""
        namespace = self.pod["metadata"]["namespace"]
        account = self.pod["spec"]["serviceAccountName"]
        kubeconfig = self.cluster.account_kubeconfig(namespace, account)
        done = subprocess.run(
            [sys.executable, "-m", "trimtab_operator", *self.pod["spec"]["containers"][0]["args"]],
            check=False,
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr.splitlines()

    def play_deployment(self, *, available: int) -> None:
        """Say how many operators run, as the controller of Deployments does."""
        namespace = self.pod["metadata"]["namespace"]
        generation = read_operator(self.cluster, namespace)["metadata"]["generation"]
        counts = {"replicas": 1, "readyReplicas": available, "availableReplicas": available}
        status = {"status": {"observedGeneration": generation, **counts}}
        api = self.cluster.api
        api.patch("Deployment", OPERATOR, status, namespace, subresource="/status")


def read_environment(cluster: Cluster, namespace: str) -> dict[str, str]:
    spec = read_operator(cluster, namespace)["spec"]["template"]["spec"]
    return {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}


@slow
def test_f20_install_upgrade_roll_back_and_uninstall_leave_the_definition_only(
    bare_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(bare_server, RESTRICTED)
    before = list_objects(bare_server)
    run_release(bare_server, namespace, "install", RELEASE, str(CHART))
    assert read_environment(bare_server, namespace).keys() == {
        "TRIMTAB_OPERATOR_TRAINER_IMAGE",
        "TRIMTAB_OPERATOR_HEALTH_PORT",
        "TRIMTAB_OPERATOR_METRICS_PORT",
    }
    changed = ("upgrade", RELEASE, str(CHART), "--set")
    run_release(bare_server, namespace, *changed, "logLevel=DEBUG,podDisruptionBudget.enabled=true")
    assert read_environment(bare_server, namespace)["TRIMTAB_OPERATOR_LOG_LEVEL"] == "DEBUG"
    assert bare_server.api.find("PodDisruptionBudget", OPERATOR, namespace)
    bare_server.api.create(make_job(namespace))
    run_release(bare_server, namespace, "rollback", RELEASE, "1")
    assert "TRIMTAB_OPERATOR_LOG_LEVEL" not in read_environment(bare_server, namespace)
    assert bare_server.api.find("PodDisruptionBudget", OPERATOR, namespace) is None
    run_release(bare_server, namespace, "uninstall", RELEASE, "--wait")
    left = list_objects(bare_server) - before
    assert left == {("CustomResourceDefinition", f"/{DEFINITION}")}
    # It still has its jobs, and the release finds its definition when it comes back.
    assert bare_server.api.find("OptimizationJob", "digits", namespace) is not None
    run_release(bare_server, namespace, "install", RELEASE, str(CHART))
    run_release(bare_server, namespace, "uninstall", RELEASE, "--wait")


@slow
@pytest.mark.parametrize("is_definition_first", [True, False], ids=["definition", "operator"])
def test_f23_definition_and_operator_can_be_upgraded_one_after_the_other(
    bare_server: Cluster, make_namespace: NamespaceMaker, tmp_path: Path, is_definition_first: bool
) -> None:
    namespace = make_namespace(bare_server)
    run_release(bare_server, namespace, "install", RELEASE, str(write_old_chart(tmp_path)))
    assert "Age" not in list_columns(bare_server)
    wait_until_served(bare_server.api, DEFINITION)
    bare_server.api.create(make_job(namespace))

    def upgrade_operator() -> None:
        values = ("--set", "crds.install=false,image.tag=0.2.0")
        run_release(bare_server, namespace, "upgrade", RELEASE, str(CHART), *values)

    def upgrade_definition() -> None:
        apply = ("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        bare_server.kubectl(*apply)

    steps = [upgrade_definition, upgrade_operator]
    for step in steps if is_definition_first else reversed(steps):
        step()
        assert bare_server.api.find("OptimizationJob", "digits", namespace) is not None
    assert "Age" in list_columns(bare_server)
    pod = read_operator(bare_server, namespace)["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"].endswith(":0.2.0")
    # Together again, as by default.
    run_release(bare_server, namespace, "upgrade", RELEASE, str(CHART))
    run_release(bare_server, namespace, "uninstall", RELEASE, "--wait")


@slow
def test_f23_an_upgrade_of_the_release_upgrades_the_definition(
    bare_server: Cluster, make_namespace: NamespaceMaker, tmp_path: Path
) -> None:
    namespace = make_namespace(bare_server)
    run_release(bare_server, namespace, "install", RELEASE, str(write_old_chart(tmp_path)))
    assert "Age" not in list_columns(bare_server)
    run_release(bare_server, namespace, "upgrade", RELEASE, str(CHART))
    assert "Age" in list_columns(bare_server)
    run_release(bare_server, namespace, "uninstall", RELEASE, "--wait")


@slow
def test_what_doctor_advises_installs_and_upgrades_and_keeps_the_values(
    bare_server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, *advised = shlex.split(INSTALL)
    assert program == "helm"
    run_helm(*advised, "--set", "logLevel=DEBUG", cluster=bare_server)
    run_helm(*advised, cluster=bare_server)
    environment = read_environment(bare_server, NAMESPACE)
    assert environment["TRIMTAB_OPERATOR_LOG_LEVEL"] == "DEBUG"
    run_release(bare_server, NAMESPACE, "uninstall", RELEASE, "--wait")


@slow
def test_f20_releases_with_namespaces_of_their_own_stand_side_by_side(
    bare_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    """One of them owns the definition, which outlives both."""
    first, second = (make_namespace(bare_server, RESTRICTED) for _ in range(2))
    before = list_objects(bare_server)

    def install(namespace: str, *options: str) -> None:
        watched = f"watchNamespaces={{{make_namespace(bare_server)}}}"
        command = ("install", RELEASE, str(CHART), "--set", watched)
        run_release(bare_server, namespace, *command, *options)

    install(first)
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        install(second)
    install(second, "--set", "crds.install=false")
    bare_server.api.create(make_job(second))
    run_release(bare_server, first, "uninstall", RELEASE, "--wait")
    assert read_operator(bare_server, second)
    assert bare_server.api.find("OptimizationJob", "digits", second) is not None
    run_release(bare_server, second, "uninstall", RELEASE, "--wait")
    left = list_objects(bare_server) - before
    assert left == {("CustomResourceDefinition", f"/{DEFINITION}")}


def test_a_definition_that_was_applied_by_hand_is_taken_over_where_that_is_asked(
    api_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(api_server)
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        run_release(api_server, namespace, "install", RELEASE, str(CHART))
    run_release(api_server, namespace, "install", RELEASE, str(CHART), "--take-ownership")
    run_release(api_server, namespace, "uninstall", RELEASE, "--wait")
    assert api_server.api.find("CustomResourceDefinition", DEFINITION) is not None


@pytest.mark.parametrize("values", [NO_DEFINITION, ALL_VALUES], ids=["defaults", "all"])
def test_f76_the_api_server_takes_all_objects_in_a_restricted_namespace(
    api_server: Cluster, make_namespace: NamespaceMaker, values: Values
) -> None:
    namespace = make_namespace(api_server, RESTRICTED)
    if "watchNamespaces" in values:
        values = {**values, "watchNamespaces": [make_namespace(api_server) for _ in range(2)]}
    manifests = [*render(values, namespace), *render_hooks(values, namespace)]
    assert len(manifests) >= 8
    for manifest in [*manifests, make_operator_pod(manifests)]:
        # A pod is refused while its account is not there.
        is_account = manifest["kind"] == "ServiceAccount"
        api_server.api.create(manifest, dry_run=not is_account)


@slow
def test_the_check_of_an_installation_says_what_is_wrong(
    bare_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(bare_server)
    for manifest in render_hooks(NO_DEFINITION, namespace):
        if manifest["kind"] != "Pod":
            bare_server.api.create(manifest)
    check = Check(bare_server, find_manifest(render_hooks(NO_DEFINITION, namespace), "Pod"))
    assert check.run() == (
        1,
        [
            "failed: the API server does not serve optimizationjobs.trimtab.dev",
            f'failed: get deployments.apps {namespace}/{OPERATOR}: deployments.apps "{OPERATOR}" not found',
        ],
    )
    run_release(bare_server, namespace, "install", RELEASE, str(CHART))
    assert check.run() == (
        1,
        [f"failed: the Deployment {namespace}/{OPERATOR} is not rolled out yet"],
    )
    check.play_deployment(available=0)
    assert check.run() == (
        1,
        [f"failed: no pod of the Deployment {namespace}/{OPERATOR} is available"],
    )
    check.play_deployment(available=1)
    assert check.run() == (0, [])
    run_release(bare_server, namespace, "uninstall", RELEASE, "--wait")


def test_the_notes_have_the_next_commands_for_these_values(
    bare_server: Cluster, make_namespace: NamespaceMaker
) -> None:
    namespace = make_namespace(bare_server)

    def read_notes(*values: str) -> list[str]:
        options = ("--dry-run=client", *(part for value in values for part in ("--set", value)))
        told = run_release(bare_server, namespace, "install", RELEASE, str(CHART), *options)
        return re.findall(r"^ {5}(\S.+)$", told.split("NOTES:\n")[1], re.MULTILINE)

    rollout = f"kubectl -n {namespace} rollout status deployment/trimtab-operator"
    explain = "kubectl explain optimizationjobs.trimtab.dev.spec"
    assert read_notes() == [
        f"{rollout} && helm -n {namespace} test trimtab",
        "trimtab doctor",
        explain,
        "kubectl apply -f examples/07-cluster/",
    ]
    assert read_notes("crds.install=false", "watchNamespaces={vision,speech}") == [
        "kubectl apply --server-side -f crds/",
        f"{rollout} && helm -n {namespace} test trimtab",
        "trimtab doctor -n vision",
        explain,
        "kubectl apply -n vision -f examples/07-cluster/",
    ]
