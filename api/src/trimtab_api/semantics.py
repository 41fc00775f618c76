"""What no schema can say about a job: names of metrics, and what a search and a runtime can do.

Called by `validation` once types and rules hold; in a cluster the operator says the same in
condition Accepted. The parameters of a search are left to `search_semantics`, targets and
techniques to `target_semantics`, parts of pods to `template_semantics`.
"""

from collections.abc import Iterator

from trimtab_api.findings import Finding
from trimtab_api.metrics import KNOWN_METRICS, TRIAL_METRICS, MetricScope
from trimtab_api.search_semantics import check_search
from trimtab_api.target_semantics import check_targets
from trimtab_api.template_semantics import check_templates
from trimtab_api.v1alpha1.goals import Constraint, Objective
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.search import EarlyStopping

__all__ = ["check_semantics"]

Path = tuple[str | int, ...]

_OF_A_TRIAL = ", ".join(TRIAL_METRICS)
_OF_AN_EPOCH = ", ".join(
    name for name, known in KNOWN_METRICS.items() if known.scope is MetricScope.VALIDATION
)


def check_semantics(job: OptimizationJob) -> Iterator[Finding]:
    """Yield a finding for each reference of a valid job that leads nowhere."""
    spec = job.spec
    for index, objective in enumerate(spec.objectives):
        yield from _check_objective(spec, objective, ("spec", "objectives", index))
    for index, constraint in enumerate(spec.constraints):
        yield from _check_constraint(spec, constraint, ("spec", "constraints", index))
    search = spec.stages.search
    if search is not None:
        path: Path = ("spec", "stages", "search")
        yield from check_search(spec, search, path)
        if search.early_stopping is not None:
            yield from _check_stopping(spec, search.early_stopping, (*path, "earlyStopping"))
    yield from check_targets(job)
    yield from check_templates(spec)


def _check_objective(spec: Spec, objective: Objective, path: Path) -> Iterator[Finding]:
    known = KNOWN_METRICS.get(objective.metric)
    value = f'"{objective.metric}"'
    if known is None:
        if spec.task.entrypoint is None:
            yield Finding((*path, "metric"), value, f"must be {_OF_A_TRIAL}")
    elif objective.metric not in TRIAL_METRICS:
        expectation = f"must be a metric that a trial can tell: {_OF_A_TRIAL}"
        yield Finding((*path, "metric"), value, expectation)
    elif known.direction is not objective.direction:
        yield Finding(
            (*path, "direction"),
            f'"{objective.direction}"',
            f"must be {known.direction} for {objective.metric}",
        )


def _check_stopping(spec: Spec, stopping: EarlyStopping, path: Path) -> Iterator[Finding]:
    metric = stopping.metric or spec.objectives[0].metric
    known = KNOWN_METRICS.get(metric)
    if known is None:
        if spec.task.entrypoint is None:
            expectation = f"must be {_OF_AN_EPOCH}"
        elif metric in {objective.metric for objective in spec.objectives}:
            return
        else:
            expectation = "must also be an objective: only an objective tells which way is better"
    elif known.scope is not MetricScope.VALIDATION:
        expectation = f"must be a metric that changes over the epochs: {_OF_AN_EPOCH}"
    else:
        return
    yield Finding((*path, "metric"), f'"{metric}"', expectation)


def _check_constraint(spec: Spec, constraint: Constraint, path: Path) -> Iterator[Finding]:
    known = KNOWN_METRICS.get(constraint.metric)
    objectives = {objective.metric for objective in spec.objectives}
    if known is None and constraint.metric not in objectives:
        if spec.task.entrypoint is None:
            yield Finding(
                (*path, "metric"),
                f'"{constraint.metric}"',
                f"must be one of {', '.join(KNOWN_METRICS)}",
            )
        elif constraint.chosen() not in {"max", "min"}:
            yield Finding(
                (*path, "metric"),
                f'"{constraint.metric}"',
                "must also be an objective: only an objective tells which way is worse",
            )
    if constraint.target is not None and (known is None or known.scope is not MetricScope.TARGET):
        yield Finding(
            (*path, "target"),
            f'"{constraint.target}"',
            f"must be absent: {constraint.metric} is the same on every target",
        )
