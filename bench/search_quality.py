"""Search quality (P-02): our study beside Optuna's samplers, on tables of known results.

    python -m bench.search_quality [--quick] [--json FILE] [--tables …] [--seeds N] …

Every run drives a study as the search loop does, one trial at a time, and looks results up. Ours
and Optuna's get the same space, objective and number of random trials at the start.
"""

import argparse
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import accumulate

import torch

from bench.hpo_tables import list_tables, load_table
from bench.measurement import Cell, Figure, Goal, Report, Sense, make_parser, median
from bench.search_methods import STARTUP, Method, Run, Task, drive
from bench.search_statistics import compare_runs, count_to_target, mean_ranks, score_run

__all__ = ["Settings", "main"]

_CHECKPOINTS = (25, 50, 100, 200)
"""Trials after which methods are ranked."""

_HIT_AT = 100

_SIGNIFICANCE = 0.05

_GP_TABLES = ("HPOBench/segment", "HPOLib/protein_structure", "NASBench201/cifar10")
"""One of each family: a Gaussian process takes seconds where TPE takes a tenth of one."""


_CHEAP = (
    Method.OUR_GRID,
    Method.OUR_RANDOM,
    Method.OUR_TPE,
    Method.OPTUNA_RANDOM,
    Method.OPTUNA_TPE,
)
_COSTLY = (Method.OUR_GP, Method.OPTUNA_GP)
_TWINS = {
    Method.OUR_RANDOM: Method.OPTUNA_RANDOM,
    Method.OUR_TPE: Method.OPTUNA_TPE,
    Method.OUR_GP: Method.OPTUNA_GP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is run."""

    tables: tuple[str, ...]
    seeds: int
    trials: int
    gp_tables: tuple[str, ...]
    gp_seeds: int
    gp_trials: int
    processes: int


Runs = Mapping[str, Mapping[Method, Sequence[Run]]]
"""Table → method → one run per seed."""


def run_all(tasks: Sequence[Task], processes: int) -> Runs:
    """Run tasks in processes of one thread each."""
    # NumPy and torch read it when a process starts.
    os.environ["OMP_NUM_THREADS"] = "1"
    found: defaultdict[str, defaultdict[Method, list[Run]]] = defaultdict(lambda: defaultdict(list))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for number, (task, run) in enumerate(zip(tasks, pool.map(drive, tasks), strict=True), 1):
            found[task.table][task.method].append(run)
            if number % 100 == 0:
                print(f"{number} of {len(tasks)} runs", file=sys.stderr)
    return found


def list_tasks(settings: Settings) -> list[Task]:
    """Return all runs: cheap methods everywhere, Gaussian processes on few tables and shorter."""
    cheap = [
        Task(table, method, seed, settings.trials)
        for table in settings.tables
        for method in _CHEAP
        for seed in range(settings.seeds)
    ]
    costly = [
        Task(table, method, seed, settings.gp_trials)
        for table in settings.gp_tables
        for method in _COSTLY
        for seed in range(settings.gp_seeds)
    ]
    return [*cheap, *costly]


def select_cheap(runs: Runs) -> Runs:
    """Return the cheap methods' runs on all tables."""
    return {
        table: {method: by_method[method] for method in _CHEAP} for table, by_method in runs.items()
    }


def select_short(runs: Runs, settings: Settings) -> Runs:
    """Return all methods on the tables of the costly ones, each run as short as theirs."""
    return {
        table: {
            method: [run[: settings.gp_trials] for run in of_method[: settings.gp_seeds]]
            for method, of_method in runs[table].items()
        }
        for table in settings.gp_tables
    }


def summarize(runs: Runs, trials: int) -> list[dict[str, Cell]]:
    """Return one row per method: trials to the target, hits, and mean rank after some trials."""
    methods = list(next(iter(runs.values())))
    rows: list[dict[str, Cell]] = [
        {
            "method": str(method),
            "trials to target": median(_list_trials_to_target(runs, method)),
            f"hit % at {min(_HIT_AT, trials)}": 100 * _hit_rate(runs, method),
        }
        for method in methods
    ]
    for checkpoint in [each for each in _CHECKPOINTS if each <= trials]:
        ranks = _rank_methods(runs, checkpoint)
        for row, method in zip(rows, methods, strict=True):
            row[f"rank at {checkpoint}"] = ranks[method]
    return rows


def _list_trials_to_target(runs: Runs, method: Method) -> list[float | None]:
    return [
        count_to_target(run, load_table(table).top)
        for table, by_method in runs.items()
        for run in by_method[method]
    ]


def _hit_rate(runs: Runs, method: Method) -> float:
    counts = _list_trials_to_target(runs, method)
    hits = sum(count is not None and count <= _HIT_AT for count in counts)
    return hits / len(counts)


def _rank_methods(runs: Runs, checkpoint: int) -> dict[str, float]:
    bests: defaultdict[str, list[float]] = defaultdict(list)
    for by_method in runs.values():
        for method, of_method in by_method.items():
            # A grid ends early in a small space.
            bests[method] += [list(accumulate(run[:checkpoint], min))[-1] for run in of_method]
    return mean_ranks(bests)


def summarize_tables(runs: Runs) -> list[dict[str, Cell]]:
    """Return one row per table: the median of trials to the target by method."""
    return [
        {
            "table": table,
            **{
                str(method): median([count_to_target(run, load_table(table).top) for run in all_])
                for method, all_ in by_method.items()
            },
        }
        for table, by_method in runs.items()
    ]


def compare_twins(runs: Runs, methods: Sequence[Method]) -> tuple[list[dict[str, Cell]], bool]:
    """Return one row per method of ours beside Optuna's, and whether all agree within noise."""
    rows: list[dict[str, Cell]] = []
    agree = True
    for ours in methods:
        test = compare_runs(
            [
                (
                    [score_run(run) for run in by_method[ours]],
                    [score_run(run) for run in by_method[_TWINS[ours]]],
                )
                for by_method in runs.values()
            ]
        )
        is_alike = test.p_value >= _SIGNIFICANCE
        agree = agree and (is_alike or test.superiority > 0.5)
        side = "ours is better" if test.superiority > 0.5 else "Optuna's is better"
        rows.append(
            {
                "ours": str(ours),
                "beside": str(_TWINS[ours]),
                "p": test.p_value,
                "P(ours better)": test.superiority,
                "verdict": "alike within noise" if is_alike else side,
            }
        )
    return rows, agree


def report_all(settings: Settings, runs: Runs) -> Report:
    """Turn runs into tables and figures."""
    cheap = select_cheap(runs)
    report = Report("search quality (P-02)", asdict(settings))
    report.add_table(f"all tables, {settings.trials} trials", summarize(cheap, settings.trials))
    report.add_table("median trials to target by table", summarize_tables(cheap))
    cheap_rows, agree = compare_twins(cheap, (Method.OUR_RANDOM, Method.OUR_TPE))
    twins = "ours beside Optuna's"
    if settings.gp_tables:
        few = select_short(runs, settings)
        title = f"all methods on {len(few)} tables, {settings.gp_trials} trials"
        report.add_table(title, summarize(few, settings.gp_trials))
        report.add_table(f"{title}: median trials to target by table", summarize_tables(few))
        gp_rows, gp_agrees = compare_twins(few, (Method.OUR_GP,))
        cheap_rows, agree = [*cheap_rows, *gp_rows], agree and gp_agrees
    report.add_table(twins, cheap_rows)
    _add_figures(report, cheap, agree=agree)
    report.notes += _describe_method(settings)
    return report


def _describe_method(settings: Settings) -> list[str]:
    target = (
        "The target is the best 0.1 % of a table's points; results are means over the table's"
        f" repeats; all searches start with {STARTUP} random trials; '-': the median run missed."
    )
    equality = (
        "Equality: van Elteren's rank test, two-sided, by permutation within tables, of the mean"
        f" log rank of the best point over a run; different below p = {_SIGNIFICANCE}."
    )
    budget = (
        f"Gaussian processes cost seconds per trial: they get {settings.gp_trials} trials,"
        f" {settings.gp_seeds} seeds and {len(settings.gp_tables)} tables."
    )
    return [target, equality, budget] if settings.gp_tables else [target, equality]


def _add_figures(report: Report, runs: Runs, *, agree: bool) -> None:
    ours = median(_list_trials_to_target(runs, Method.OUR_TPE))
    optunas = median(_list_trials_to_target(runs, Method.OPTUNA_TPE))
    share = ours / optunas if ours is not None and optunas is not None else None
    hits = 100 * _hit_rate(runs, Method.OUR_TPE)
    longest = max(len(run) for run in next(iter(runs.values()))[Method.OUR_TPE])
    hit_name = f"hit rate of ours (TPE) at {min(_HIT_AT, longest)}"
    at_most, at_least = Sense.AT_MOST, Sense.AT_LEAST
    for figure in (
        Figure("trials to target, ours (TPE) / Optuna's", share, "", Goal(at_most, 0.5)),
        Figure(hit_name, hits, "%", Goal(at_least, 95)),
        Figure("no method of ours is worse than Optuna's", float(agree), "", Goal(at_least, 1)),
    ):
        report.add_figure(figure)
    for checkpoint in [each for each in _CHECKPOINTS if each <= longest]:
        ranks = _rank_methods(runs, checkpoint)
        behind = ranks[Method.OUR_TPE] - min(ranks.values())
        name = f"mean rank of ours (TPE) at {checkpoint}, behind the best"
        report.add_figure(Figure(name, behind, "", Goal(at_most, 0)))


def read_settings(arguments: Sequence[str] | None) -> tuple[Settings, argparse.Namespace]:
    """Return what the command line asks for."""
    parser = make_parser("Our search beside Optuna's on tables of known results.")
    parser.add_argument("--tables", nargs="+", metavar="TABLE", help="family/name; all by default")
    parser.add_argument("--seeds", type=int, help="runs of each method and table")
    parser.add_argument("--trials", type=int, help="trials of a run")
    parser.add_argument("--gp-tables", nargs="*", metavar="TABLE", help="for Gaussian processes")
    parser.add_argument("--gp-seeds", type=int, help="runs of Gaussian processes per table")
    parser.add_argument("--gp-trials", type=int, help="trials of a Gaussian process")
    parser.add_argument("--processes", type=int, help="runs at once")
    options = parser.parse_args(arguments)
    if options.quick:
        settings = Settings(
            tables=_GP_TABLES[2:],
            seeds=2,
            trials=25,
            gp_tables=_GP_TABLES[2:],
            gp_seeds=1,
            gp_trials=13,
            processes=2,
        )
    else:
        settings = Settings(
            tables=tuple(list_tables()),
            seeds=20,
            trials=200,
            gp_tables=_GP_TABLES,
            gp_seeds=20,
            gp_trials=50,
            processes=2,
        )
    given = {
        name: value for name in asdict(settings) if (value := getattr(options, name)) is not None
    }
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return _fit_together(replace(settings, **{**given, **lists})), options


def _fit_together(settings: Settings) -> Settings:
    """Compare all methods only where all of them run, over what all of them have."""
    return replace(
        settings,
        gp_tables=tuple(name for name in settings.gp_tables if name in settings.tables),
        gp_seeds=min(settings.gp_seeds, settings.seeds),
        gp_trials=min(settings.gp_trials, settings.trials),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    settings, options = read_settings(arguments)
    runs = run_all(list_tasks(settings), settings.processes)
    report_all(settings, runs).publish(options.json)


if __name__ == "__main__":
    main()
