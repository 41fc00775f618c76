"""Coverage of structured pruning (P-08): which of torchvision's classification networks it takes.

    python -m bench.coverage [--quick] [--json FILE] [--beside] [--models NAME ...]

Each network is built with random weights for 1,000 classes, loses half of the channels of every
layer that can be cut, runs, takes a step of training, is exported to ONNX, runs in ONNX Runtime
and must compute there what it computes in torch. It counts as covered when all of that works and
at least a tenth of its parameters is gone, and some of its FLOPs. With `--beside`, Torch-Pruning
cuts the same networks.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision import models

from bench.coverage_probe import MARK, Step, Way
from bench.measurement import Cell, Figure, Goal, Report, Sense, make_parser

__all__ = ["Finding", "list_networks", "main", "probe", "read_finding"]

_ROOT = Path(__file__).parents[1]
_MOST_PARAMETERS = 100_000_000
_RATIO = 0.5
_GOAL = Goal(Sense.AT_LEAST, 0.95)
_LIMIT_SECONDS = 300.0
_LIMIT_BYTES = 8 * 2**30
_QUICK = (
    "alexnet",
    "densenet121",
    "googlenet",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """How far a network came."""

    network: str
    seconds: float
    facts: Mapping[str, Any]
    """What its process told."""
    reason: str | None
    """Why it is not covered; None where it is."""

    def to_row(self) -> dict[str, Cell]:
        """Return it as a row of the table."""
        return {
            "network": self.network,
            "size": self.facts.get("size"),
            "parameters saved, %": _percent(self.facts.get("params_saved")),
            "FLOPs saved, %": _percent(self.facts.get("flops_saved")),
            "difference of the file": self.facts.get("error"),
            "seconds": round(self.seconds, 1),
            "result": self.describe(),
        }

    def describe(self) -> str:
        """Return in words whether it is covered."""
        if self.reason is None:
            return "covered"
        return f"{self.facts.get('step', 'start')}: {self.reason}"


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def list_networks() -> list[str]:
    """Return torchvision's classification networks of at most 100 M parameters, by name."""
    return [
        name
        for name in models.list_models(module=models)
        if models.get_model_weights(name).DEFAULT.meta["num_params"] <= _MOST_PARAMETERS
    ]


def probe(network: str, way: Way) -> Finding:
    """Examine a network in a process of its own, within limits of time and memory."""
    request = {"network": network, "way": way, "ratio": _RATIO, "memory_bytes": _LIMIT_BYTES}
    start = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "bench.coverage_probe", json.dumps(request)],
            cwd=_ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        # What was told until then comes as bytes, whatever was asked for.
        told = error.stdout.decode() if isinstance(error.stdout, bytes) else ""
        return read_finding(network, told, _LIMIT_SECONDS, f"not done in {_LIMIT_SECONDS:.0f} s")
    end = f"its process ended with code {ended.returncode}"
    return read_finding(network, ended.stdout, time.monotonic() - start, end)


def read_finding(network: str, told: str, seconds: float, end: str) -> Finding:
    """Return what a process told of a network.

    Args:
        network: Its name.
        told: Lines of JSON; the last one may be cut off.
        seconds: How long it took.
        end: How the process ended, for one that did not come to tell why.
    """
    facts = {key: value for line in _read_lines(told) for key, value in line.items()}
    if facts.get("step") == Step.DONE:
        return Finding(network, seconds, facts, None)
    return Finding(network, seconds, facts, facts.get("reason", end))


def _read_lines(told: str) -> Iterator[dict[str, Any]]:
    whole, _, _ = told.rpartition("\n")
    for line in whole.splitlines():
        if line.startswith(MARK):
            yield json.loads(line.removeprefix(MARK))


def add_way(report: Report, way: Way, networks: Sequence[str], goal: Goal | None) -> None:
    """Examine all networks, one to a core, and report them."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        findings = []
        for finding in pool.map(lambda network: probe(network, way), networks):
            findings.append(finding)
            print(f"{way}: {finding.network} {finding.describe()}", file=sys.stderr)
    report.add_table(f"{way}: every network", [finding.to_row() for finding in findings])
    covered = sum(finding.reason is None for finding in findings)
    name = f"{way}: share of {len(findings)} networks that are covered"
    report.add_figure(Figure(name, covered / len(findings), "", goal))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = make_parser("Which of torchvision's classification networks can be pruned.")
    parser.add_argument("--beside", action="store_true", help="Torch-Pruning's defaults too")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these networks")
    options = parser.parse_args(arguments)
    networks = options.models or (_QUICK if options.quick else list_networks())
    settings = {
        "share of channels": _RATIO,
        "seconds a network": _LIMIT_SECONDS,
        "bytes a network": _LIMIT_BYTES,
    }
    report = Report("coverage of structured pruning (P-08)", settings)
    start = time.monotonic()
    add_way(report, Way.TRIMTAB, networks, _GOAL)
    if options.beside:
        add_way(report, Way.TORCH_PRUNING, networks, None)
    report.notes.append(f"All took {time.monotonic() - start:.0f} s.")
    report.notes.append(
        "Images are of the smallest size that a network takes and that is not below 64 pixels;"
        " weights are random, so nothing is said about accuracy."
    )
    report.publish(options.json)


if __name__ == "__main__":
    main()
