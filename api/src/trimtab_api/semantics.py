"""What no schema can say about a job: parameter paths, metric names and directions.

Called by `validation` once types and rules hold; in a cluster the operator says the same in
condition Accepted.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from trimtab_api.findings import Finding
from trimtab_api.metrics import KNOWN_METRICS, MetricScope
from trimtab_api.overrides import apply_parameters
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.goals import Constraint, Objective
from trimtab_api.v1alpha1.job import OptimizationJob, Spec
from trimtab_api.v1alpha1.search import NumberType, SearchSpace

__all__ = ["check_semantics"]

Path = tuple[str | int, ...]


def check_semantics(job: OptimizationJob) -> Iterator[Finding]:
    """Yield a finding for each reference of a valid job that leads nowhere."""
    spec = job.spec
    for index, objective in enumerate(spec.objectives):
        yield from _check_objective(spec, objective, ("spec", "objectives", index))
    for index, constraint in enumerate(spec.constraints):
        yield from _check_constraint(spec, constraint, ("spec", "constraints", index))
    search = spec.stages.search
    for index, parameter in enumerate((search.parameters or ()) if search else ()):
        path: Path = ("spec", "stages", "search", "parameters", index)
        yield from _check_parameter(spec, parameter.name, parameter.search_space, path)


def _check_objective(spec: Spec, objective: Objective, path: Path) -> Iterator[Finding]:
    known = KNOWN_METRICS.get(objective.metric)
    if known is None:
        if spec.task.entrypoint is None:
            yield Finding(
                (*path, "metric"),
                f'"{objective.metric}"',
                f"must be {_names(MetricScope.VALIDATION)}",
            )
    elif known.scope is not MetricScope.VALIDATION:
        yield Finding(
            (*path, "metric"),
            f'"{objective.metric}"',
            f"must be a metric of the validation split: {_names(MetricScope.VALIDATION)}",
        )
    elif known.direction is not objective.direction:
        yield Finding(
            (*path, "direction"),
            f'"{objective.direction}"',
            f"must be {known.direction} for {objective.metric}",
        )


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


def _names(scope: MetricScope) -> str:
    return ", ".join(name for name, known in KNOWN_METRICS.items() if known.scope is scope)


def _check_parameter(spec: Spec, name: str, space: SearchSpace, path: Path) -> Iterator[Finding]:
    if name.startswith("dataset.args.") and spec.dataset.entrypoint is None:
        yield Finding(
            (*path, "name"), f'"{name}"', "needs dataset.entrypoint, which takes the args"
        )
        return
    for where, value in _extremes(space):
        try:
            apply_parameters(spec, {name: value})
        except KeyError:
            yield Finding((*path, "name"), f'"{name}"', "is not a field that a search can replace")
            return
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            yield Finding(
                (*path, "searchSpace", *where), str(value), f"must be valid for {name}: {reason}"
            )


def _extremes(space: SearchSpace) -> Iterator[tuple[Path, Scalar]]:
    """Yield the values at which a space is most likely to leave the field's bounds."""
    if space.categorical is not None:
        for index, choice in enumerate(space.categorical.choices):
            yield ("categorical", "choices", index), choice
        return
    bounds = space.uniform or space.log_uniform
    if bounds is not None:
        kind = "uniform" if space.uniform is not None else "logUniform"
        number = int if bounds.type is NumberType.INT else float
        yield (kind, "min"), number(bounds.min)
        yield (kind, "max"), number(bounds.max)
