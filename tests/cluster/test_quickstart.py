"""The commands of the README's section about clusters, run as they stand there, lead to a result."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.access import Cluster
from cluster.built_images import OPERATOR_IMAGE, TRAINER_IMAGE
from cluster.claims import make_volume
from cluster.fixtures import NamespaceMaker
from cluster.installation import image_values, remove_operator
from cluster.node_jobs import NodeJob
from cluster.node_timeline import describe_start
from cluster.programs import PROGRAMS, program
from source_tree import ROOT

# A cluster, the images and KubeRay are there: the test begins with the operator.
PREPARATION = ("kind", "docker", "docker", "kind", "helm")


def read_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## On a cluster\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    lines = block.splitlines()
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


def test_the_quickstart_has_at_most_ten_commands_and_its_files_exist() -> None:
    commands = read_commands()
    assert len(commands) <= 10
    words = [word for command in commands for word in shlex.split(command)]
    files = [word for word in words if re.match(r"[\w-]+/", word) and "trimtab.dev" not in word]
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_quickstart_prepares_before_it_installs() -> None:
    programs = tuple(shlex.split(command)[0] for command in read_commands())
    assert programs[: len(PREPARATION)] == PREPARATION
    assert not {"kind", "docker"} & set(programs[len(PREPARATION) :])


def test_the_quickstart_installs_the_kuberay_that_the_tests_have() -> None:
    pinned = PROGRAMS["kuberay"].folder / "go.mod"
    found = re.findall(r"ray-project/kuberay\S* v(\S+)", pinned.read_text(encoding="utf-8"))
    (version,) = set(found)
    assert f"--version {version} " in read_commands()[len(PREPARATION) - 1]


@pytest.fixture
def image_options(operator_image: str, trainer_image: str) -> str:
    """Options for a cluster that has other images than those of the quickstart."""
    if (operator_image, trainer_image) == (OPERATOR_IMAGE, TRAINER_IMAGE):
        return ""
    values = json.dumps(image_values(operator_image, trainer_image))
    return f" --take-ownership --values - <<'END'\n{values}\nEND"


@pytest.mark.cluster_n
@pytest.mark.timeout(900)
def test_the_quickstart_ends_with_a_checked_artifact(
    node_server: Cluster,
    image_options: str,
    make_namespace: NamespaceMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    remove_operator(node_server)
    namespace = make_namespace(node_server)
    make_volume(node_server, namespace, "runs")
    for folder in ("examples/07-cluster", "charts/trimtab"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    environment = prepare(node_server, namespace, tmp_path)
    install, *rest = read_commands()[len(PREPARATION) :]
    for command in (install + image_options, *rest):
        done = subprocess.run(
            ["sh", "-ec", command],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    job = NodeJob(node_server, namespace, "first")
    with capsys.disabled():
        sys.stdout.write(describe_start(job))
    results = tmp_path / "results" / "first"
    manifest = json.loads((results / "artifacts" / "manifest.json").read_text())
    names = [entry["file"] for entry in manifest["artifacts"]]
    assert [name for name in names if not (results / "artifacts" / name).is_file()] == []
    assert (results / job.status()["result"]["artifact"]).is_file()


def prepare(cluster: Cluster, namespace: str, folder: Path) -> dict[str, str]:
    """Return an environment in which the commands are found and the namespace is the current one."""
    kubeconfig = folder / "kubeconfig"
    shutil.copy(cluster.kubeconfig, kubeconfig)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PATH": os.pathsep.join(
            [
                str(Path(sys.executable).parent),
                *(str(program(name).parent) for name in ("kubectl", "helm")),
                os.environ["PATH"],
            ]
        ),
    }
    subprocess.run(
        ["kubectl", "config", "set-context", "--current", f"--namespace={namespace}"],
        check=True,
        env=environment,
        capture_output=True,
    )
    return environment
