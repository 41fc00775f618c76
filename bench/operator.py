"""The operator (P-09): what a write costs, beside the smallest operators that one writes with kopf.

    python -m bench.operator [--quick] [--json FILE] [--rounds N]

Each operator runs as a process on an etcd and an API server of its own, whose audit log is what is
counted. In each round every way runs, in an order that turns from round to round; figures are
medians over the rounds. The first run builds the servers with Go.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

from bench.measurement import Cell, Figure, Goal, Report, Sense, make_parser
from bench.operator_run import Load, Measured, measure
from bench.operator_ways import EVENT, OURS, WAYS

__all__ = ["Settings", "main", "report_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is run."""

    rounds: int
    load: Load


_FULL = Settings(rounds=1, load=Load(paced=100, pause=0.2, jobs=1000, idle_seconds=120))
_QUICK = Settings(rounds=1, load=Load(paced=5, pause=0.1, jobs=25, idle_seconds=2))

Results = Mapping[str, Sequence[Measured]]
"""Way → one run per round."""

_BASE = (
    "CPU per write: user and kernel time of the operator's process, over the writes that the API"
    " server's audit log shows; failed writes count too. Ours makes seven children and two events a"
    " job, the minimal ones one child; all three write one status. Ours serves metrics, unread."
)
_LATENCY = (
    "latency: from the answer to a job's creation to the answer to that of its first child, as the"
    " API server stamps both, with jobs that come one by one. Ours reads what it is about to write."
)
_LEFT_OUT = (
    "left out: KubeRay is played by one status per RayJob, and no job reports progress. Other work"
    " on the machine shows in all figures: compare ratios."
)


def run_all(settings: Settings) -> Results:
    """Run every way once in each round."""
    found: defaultdict[str, list[Measured]] = defaultdict(list)
    for number in range(settings.rounds):
        turn = number % len(WAYS)
        for way in (*WAYS[turn:], *WAYS[:turn]):
            found[way].append(measure(way, settings.load))
    return found


def report_all(settings: Settings, results: Results) -> Report:
    """Turn runs into a table and figures."""
    report = Report("the operator (P-09)", asdict(settings))
    report.add_table("operators", [_summarize(way, results) for way in WAYS])
    jobs = settings.load.jobs
    for figure in _list_figures(results, jobs):
        report.add_figure(figure)
    report.notes += [_BASE, _LATENCY, _LEFT_OUT]
    return report


def _summarize(way: str, results: Results) -> dict[str, Cell]:
    def tell(read: Callable[[Measured], float]) -> float:
        return _middle(results, way, read)

    return {
        "operator": way,
        "CPU ms a write, one by one": tell(lambda run: run.paced_cpu_ms),
        "CPU ms a write, many": tell(lambda run: run.burst_cpu_ms),
        "CPU ms a job": tell(lambda run: run.cpu_ms_per_job),
        "writes a job": tell(lambda run: run.writes_per_job),
        "reads a job": tell(lambda run: run.reads_per_job),
        "latency ms": tell(lambda run: run.latency_ms),
        "MiB at start": tell(lambda run: run.started.resident_mib),
        "MiB at end": tell(lambda run: run.resident_mib),
        "idle writes": tell(lambda run: run.idle_writes),
        "idle CPU %": tell(lambda run: run.idle_cpu_percent),
    }


def _list_figures(results: Results, jobs: int) -> list[Figure]:
    def ratio(read: Callable[[Measured], float]) -> float:
        return _middle(results, OURS, read) / _middle(results, EVENT, read)

    beside = f"ours / {EVENT}"
    memory = _middle(results, OURS, lambda run: run.resident_mib)
    writes = _middle(results, OURS, lambda run: run.idle_writes)
    twice, third = Goal(Sense.AT_MOST, 2), Goal(Sense.AT_MOST, 1.3)
    return [
        Figure(
            f"CPU a write, one by one, {beside}", ratio(lambda run: run.paced_cpu_ms), "×", twice
        ),
        Figure(f"CPU a write, many, {beside}", ratio(lambda run: run.burst_cpu_ms), "×", twice),
        Figure(
            f"memory with {jobs} jobs, {beside}", ratio(lambda run: run.resident_mib), "×", third
        ),
        Figure(f"our memory with {jobs} jobs", memory, "MiB", Goal(Sense.AT_MOST, 150)),
        Figure("our writes once converged", writes, "", Goal(Sense.AT_MOST, 0)),
    ]


def _middle(results: Results, way: str, read: Callable[[Measured], float]) -> float:
    return median(read(run) for run in results[way])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = make_parser("What a write of the operator costs, beside minimal kopf operators.")
    parser.add_argument("--rounds", type=int, help="times that every way runs")
    options = parser.parse_args(arguments)
    settings = _QUICK if options.quick else _FULL
    if options.rounds is not None:
        settings = replace(settings, rounds=options.rounds)
    report_all(settings, run_all(settings)).publish(options.json)


if __name__ == "__main__":
    main()
