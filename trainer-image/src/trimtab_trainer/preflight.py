"""What must hold before any trial is paid for: data, network, task and pruning fit together.

Called by the pipeline at each start. Its findings end the job as UserError, DatasetUnavailable or
DatasetInvalid; nothing of it is retried.
"""

from collections.abc import Generator

import torch

from trimtab_api.v1alpha1.job import Spec
from trimtab_trainer.errors import UserError
from trimtab_trainer.models.profile import count_flops, count_parameters
from trimtab_trainer.pruning.budget import Counters, find_target
from trimtab_trainer.pruning.cutter import find_cuttable_groups
from trimtab_trainer.stages._base import Facts, Run
from trimtab_trainer.stages._bench import Bench, make_example
from trimtab_trainer.stages._prune_work import make_amount, make_settings
from trimtab_trainer.stages._work import inspect_job

__all__ = ["run_preflight"]


def run_preflight(run: Run) -> None:
    """Check the job and put the facts about its data and network into the run.

    Raises:
        TrainerError: Something cannot work; the message names it.
    """
    run.facts = Facts(**run.call(inspect_job, spec=run.spec))
    run.call(check_goals, spec=run.spec)
    if run.spec.stages.prune is not None:
        run.call(check_pruning, spec=run.spec)


def check_goals(bench: Bench, *, spec: Spec, threads: int) -> Generator[None, None, None]:
    """Check that the task gives every metric that objectives and constraints name.

    Raises:
        UserError: A metric is missing.
    """
    torch.set_num_threads(threads)
    inputs, targets = bench.data(spec).validation.batch(torch.arange(1))
    yield None
    with torch.inference_mode():
        outputs = bench.fresh_model(spec).eval()(inputs)
        found = bench.task(spec).metrics(outputs, targets)
    for index, objective in enumerate(spec.objectives):
        if objective.metric not in found:
            raise UserError(
                f"objectives[{index}].metric must be one of the task's metrics"
                f" {', '.join(sorted(found))} but is {objective.metric}"
            )


def check_pruning(bench: Bench, *, spec: Spec, threads: int) -> Generator[None, None, None]:
    """Check that the network can be cut as far as asked, and that every pattern matches a layer.

    Raises:
        UserError: It cannot.
    """
    torch.set_num_threads(threads)
    prune = spec.stages.prune
    if prune is None or prune.amount is None:
        raise ValueError("only a spec with an expanded stages.prune can be checked")
    example = make_example(bench.data(spec))
    model, settings = bench.fresh_model(spec), make_settings(prune)
    yield None
    find_target(
        model,
        find_cuttable_groups(model, example, settings),
        amount=make_amount(prune.amount),
        settings=settings,
        counters=Counters(count_parameters, lambda model: count_flops(model, example)),
    )
