"""The contract, the operator and the command line start without the heavy libraries that only a run needs."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
skipped = set(sys.argv[3:])
for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    if found.name not in skipped and not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print(" ".join(name for name in sys.argv[2].split(",") if name in sys.modules))
"""
HEAVY = "torch,ray,optuna,onnxruntime,onnx,numpy,sklearn,kubernetes,kopf,botocore"


def list_loaded(package: str, libraries: str, *skipped: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, package, libraries, *skipped]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return ended.stdout.split()


def test_the_contract_needs_pydantic_alone() -> None:
    assert list_loaded("trimtab_api", f"{HEAVY},yaml,ruamel.yaml,rich,typer") == []


def test_the_command_line_but_for_its_doors_is_light() -> None:
    doors = ("trimtab_cli.local", "trimtab_cli.cluster", "trimtab_cli.objects")
    assert list_loaded("trimtab_cli", HEAVY, *doors) == []


def test_the_operator_brings_nothing_of_the_data_plane() -> None:
    assert list_loaded("trimtab_operator", "torch,ray,optuna,onnxruntime,onnx,numpy,sklearn") == []


def test_a_driver_starts_without_what_few_stages_need() -> None:
    program = (
        "import sys, trimtab_trainer.__main__\n"
        "print(*(name for name in ('sklearn', 'scipy', 'openvino') if name in sys.modules))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert ended.stdout.split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_starts_without_the_trainer(arguments: list[str]) -> None:
    libraries = [*HEAVY.split(","), "trimtab_trainer"]
    program = (
        "import atexit, runpy, sys\n"
        f"loaded = lambda: [name for name in {libraries!r} if name in sys.modules]\n"
        "atexit.register(lambda: print('loaded:', *loaded(), file=sys.stderr))\n"
        f"sys.argv = ['trimtab', *{arguments!r}]\n"
        "runpy.run_module('trimtab_cli', run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip().splitlines()[-1].strip() == "loaded:"
