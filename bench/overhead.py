"""Overhead (P-01): what a trial costs beyond itself, in five ways, side by side in one run.

    python -m bench.overhead [--quick] [--json FILE] [--rounds N]

Trials sleep for a given time. In each round every way runs, in an order that turns from round to
round; figures are medians over the rounds.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from statistics import median

from bench.measurement import Cell, Figure, Goal, Report, Sense, make_parser
from bench.our_way import OURS, host_ours
from bench.plain_ways import LOOP, PROCESSES, host_plain
from bench.sleeping_trial import Measured, RunTrials
from bench.tune_ways import DEFAULT, REUSE, host_tune

__all__ = ["Settings", "main"]

_NO_OP = 0.0
_LONG = 1.0
"""Seconds of the trials whose utilization is a goal."""

_WAYS = (LOOP, OURS, REUSE, DEFAULT, PROCESSES)
"""In the order of the tables."""
_SLOW = frozenset({DEFAULT, PROCESSES})
"""They take seconds where the others take milliseconds, and so get fewer trials."""


@dataclass(frozen=True, slots=True)
class Host:
    """What starts before trials are timed, and the ways that run in it."""

    open: Callable[[int], AbstractContextManager[Mapping[str, RunTrials]]]
    ways: tuple[str, ...]


_HOSTS = (
    Host(host_plain, (LOOP, PROCESSES)),
    Host(host_ours, (OURS,)),
    Host(host_tune, (DEFAULT, REUSE)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is run."""

    rounds: int
    trials: Mapping[float, int]
    """Seconds that a trial sleeps → trials of a run."""
    slow_trials: Mapping[float, int]
    """The same for slow ways."""
    parallel_trials: int
    """Long trials of a run at two workers."""
    parallel_ways: tuple[str, ...]


_FULL = Settings(
    rounds=3,
    trials={_NO_OP: 100, 0.05: 60, _LONG: 8},
    slow_trials={_NO_OP: 8, 0.05: 8, _LONG: 5},
    parallel_trials=16,
    parallel_ways=(OURS, REUSE),
)
_QUICK = Settings(
    rounds=1,
    trials={_NO_OP: 20, _LONG: 3},
    slow_trials={_NO_OP: 2},
    parallel_trials=4,
    parallel_ways=(OURS,),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A way, a length of trials and a number of workers."""

    way: str
    seconds: float
    workers: int


Results = Mapping[Case, Sequence[Measured]]
"""Case → one run per round."""


def run_all(settings: Settings) -> Results:
    """Run every case once in each round."""
    found: defaultdict[Case, list[Measured]] = defaultdict(list)
    for number in range(settings.rounds):
        turn = number % len(_HOSTS)
        for host in (*_HOSTS[turn:], *_HOSTS[:turn]):
            for case, measured in _run_host(host, settings):
                found[case].append(measured)
    return found


def _run_host(host: Host, settings: Settings) -> list[tuple[Case, Measured]]:
    found = []
    with host.open(1) as ways:
        for way in host.ways:
            planned = settings.slow_trials if way in _SLOW else settings.trials
            for seconds, trials in planned.items():
                found.append((Case(way, seconds, 1), ways[way](trials, seconds, 1)))
    parallel = [way for way in host.ways if way in settings.parallel_ways]
    if parallel:
        with host.open(2) as ways:
            for way in parallel:
                measured = ways[way](settings.parallel_trials, _LONG, 2)
                found.append((Case(way, _LONG, 2), measured))
    return found


def report_all(settings: Settings, results: Results) -> Report:
    """Turn runs into tables and figures."""
    report = Report("overhead of a trial (P-01)", asdict(settings))
    for seconds in settings.trials:
        for workers in (1, 2):
            cases = [Case(way, seconds, workers) for way in _WAYS]
            rows = [_summarize(case, results) for case in cases if case in results]
            if rows:
                title = f"trials of {_name(seconds)}, {workers} worker{'s' * (workers - 1)}"
                report.add_table(title, rows)
    for figure in [*_list_overheads(settings, results), *_list_utilizations(results)]:
        report.add_figure(figure)
    report.notes += [_WHOLE, _BETWEEN]
    return report


_WHOLE = (
    "whole run: wall time of a run of trials less the time slept, per trial; it holds what a way"
    " starts for each run, but not Ray itself, nor our slots, which a job has warmed up before."
)
_BETWEEN = (
    "between trials: time of a worker without a trial, from the first trial's start to the last"
    " one's end, per gap; what is started once does not count. Utilization is over the same time."
)


def _name(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"


def _summarize(case: Case, results: Results) -> dict[str, Cell]:
    ours = Case(OURS, case.seconds, case.workers)
    return {
        "way": case.way,
        "trials": len(results[case][0].stamps),
        "whole run, ms a trial": _whole(results, case),
        "whole × ours": _whole(results, case) / _whole(results, ours),
        "between trials, ms": _between(results, case),
        "between × ours": _between(results, case) / _between(results, ours),
        "utilization %": _utilization(results, case),
    }


def _whole(results: Results, case: Case) -> float:
    return median(run.whole_ms for run in results[case])


def _between(results: Results, case: Case) -> float:
    return median(run.between_ms for run in results[case])


def _utilization(results: Results, case: Case) -> float:
    return median(run.utilization for run in results[case])


def _list_overheads(settings: Settings, results: Results) -> list[Figure]:
    ours = [Case(OURS, seconds, 1) for seconds in settings.trials]
    figures = [
        Figure(
            f"our overhead, trials of {_name(case.seconds)}",
            _whole(results, case),
            "ms",
            Goal(Sense.AT_MOST, 20),
        )
        for case in ours
    ]
    for way, bound in ((DEFAULT, 50), (REUSE, 4)):
        theirs, goal = Case(way, _NO_OP, 1), Goal(Sense.AT_LEAST, bound)
        whole = _whole(results, theirs) / _whole(results, ours[0])
        between = _between(results, theirs) / _between(results, ours[0])
        figures.append(Figure(f"{way} / ours, whole run", whole, "×", goal))
        figures.append(Figure(f"{way} / ours, between trials", between, "×", goal))
    return figures


def _list_utilizations(results: Results) -> list[Figure]:
    return [
        Figure(
            f"our utilization with {_name(_LONG)} trials, {workers} worker{'s' * (workers - 1)}",
            _utilization(results, Case(OURS, _LONG, workers)),
            "%",
            Goal(Sense.AT_LEAST, bound),
        )
        for workers, bound in ((1, 98), (2, 95))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = make_parser("What a trial costs beyond itself, in five ways.")
    parser.add_argument("--rounds", type=int, help="times that every way runs")
    options = parser.parse_args(arguments)
    settings = _QUICK if options.quick else _FULL
    if options.rounds is not None:
        settings = replace(settings, rounds=options.rounds)
    report_all(settings, run_all(settings)).publish(options.json)


if __name__ == "__main__":
    main()
