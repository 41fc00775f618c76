"""What must hold before any trial is paid for: data, network, task and pruning fit together.

Called by the pipeline at each start. Its findings end the job as UserError, DatasetUnavailable or
DatasetInvalid; nothing of it is retried.
"""

from collections.abc import Generator, Sequence

import torch

from trimtab_api.metrics import KNOWN_METRICS, TRIAL_METRICS, MetricScope
from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.errors import UserError
from trimtab_trainer.reporting._base import SamplesSkipped
from trimtab_trainer.stages._base import Facts, Run
from trimtab_trainer.stages._bench import Bench
from trimtab_trainer.stages._compressible import check_compression, searches_network
from trimtab_trainer.stages._work import inspect_job, inspect_machine
from trimtab_trainer.storage.run_folder import enter_data

__all__ = ["run_preflight"]

_STATIC = tuple(name for name in TRIAL_METRICS if KNOWN_METRICS[name].scope is MetricScope.STATIC)

_SHOWN = 5


def run_preflight(run: Run) -> None:
    """Check the job and put the facts about its data and network into the run.

    Raises:
        TrainerError: Something cannot work; the message names it.
    """
    run.machine = run.call(inspect_machine)
    run.facts = Facts(**run.call(inspect_job, spec=run.spec))
    digest = run.facts.digest
    run.store(lambda: enter_data(run.context.root, digest))
    _tell_skipped(run, run.facts.skipped)
    for warning in run.facts.data_warnings:
        run.warn(warning)
    run.call(check_goals, spec=run.spec)
    if not searches_network(run.spec):  # else each trial's network is checked before its training
        run.call(check_network, spec=run.spec)


def _tell_skipped(run: Run, names: tuple[str, ...]) -> None:
    if names:
        run.reporter.publish(SamplesSkipped(len(names), names[:_SHOWN]))
        run.warnings.append(
            f"SamplesSkipped: {len(names)} samples cannot be read and are left out of every"
            f" training and evaluation: {', '.join(names[:_SHOWN])}"
        )


def check_goals(bench: Bench, *, spec: Spec, threads: int) -> Generator[None, None, None]:
    """Check that a trial gives every metric that objectives and early stopping name.

    Raises:
        UserError: A metric is missing.
    """
    torch.set_num_threads(threads)
    inputs, targets = bench.data(spec).validation.batch(torch.arange(1))
    yield None
    with torch.inference_mode():
        outputs = bench.fresh_model(spec).cpu().eval()(inputs)
        found = bench.task(spec).metrics(outputs, targets)
    for index, objective in enumerate(spec.objectives):
        _require_metric(f"objectives[{index}].metric", objective.metric, [*found, *_STATIC])
    search = spec.stages.search
    if search is not None and search.early_stopping is not None:
        metric = str(search.early_stopping.metric)
        _require_metric("search.earlyStopping.metric", metric, list(found))


def _require_metric(field: str, metric: str, found: Sequence[str]) -> None:
    if metric not in found:
        raise UserError(f"{field} must be one of {', '.join(sorted(found))} but is {metric}")


def check_network(bench: Bench, *, spec: Spec, threads: int) -> Generator[None, None, None]:
    """Check that the manifest's network can be pruned and quantized as asked.

    Raises:
        UserError: It cannot.
    """
    torch.set_num_threads(threads)
    yield None
    check_compression(bench, spec)
