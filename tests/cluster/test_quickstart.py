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
from cluster.claims import make_volume
from cluster.fixtures import NamespaceMaker
from cluster.node_jobs import NodeJob
from cluster.node_timeline import describe_start
from cluster.programs import program
from source_tree import ROOT

DEPLOY = "kubectl apply --server-side -f deploy/"
# A cluster, KubeRay and the images: the fixture has made them, and then did what DEPLOY does.
PREPARATION = {"kind", "helm", "docker"}


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


def test_the_quickstart_installs_before_it_runs() -> None:
    programs = [shlex.split(command)[0] for command in read_commands()]
    first = next(at for at, name in enumerate(programs) if name not in PREPARATION)
    assert set(programs[:first]) == PREPARATION
    assert not PREPARATION & set(programs[first:])
    assert read_commands()[first] == DEPLOY


@pytest.mark.cluster_n
@pytest.mark.timeout(900)
def test_the_quickstart_ends_with_a_checked_artifact(
    node_operator: Cluster,
    make_namespace: NamespaceMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace = make_namespace(node_operator)
    make_volume(node_operator, namespace, "runs")
    shutil.copytree(ROOT / "examples" / "07-cluster", tmp_path / "examples" / "07-cluster")
    environment = prepare(node_operator, namespace, tmp_path)
    commands = read_commands()
    for command in commands[commands.index(DEPLOY) + 1 :]:
        done = subprocess.run(
            ["sh", "-ec", command],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    job = NodeJob(node_operator, namespace, "first")
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
            [str(Path(sys.executable).parent), str(program("kubectl").parent), os.environ["PATH"]]
        ),
    }
    subprocess.run(
        ["kubectl", "config", "set-context", "--current", f"--namespace={namespace}"],
        check=True,
        env=environment,
        capture_output=True,
    )
    return environment
