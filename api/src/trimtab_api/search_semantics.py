"""What a search may try: names of fields, values that fit them, points inside the space.

Called by `semantics`. A finding stands at the parameter or at the point that is to blame.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

from trimtab_api.defaults import DEFAULT_PARAMETERS, compute_trials
from trimtab_api.findings import Finding
from trimtab_api.overrides import apply_parameters
from trimtab_api.rules import check_rules, render_value
from trimtab_api.spaces import describe_space, find_value
from trimtab_api.v1alpha1._types import Scalar
from trimtab_api.v1alpha1.job import Spec
from trimtab_api.v1alpha1.search import NumberType, Parameter, Search, SearchSpace
from trimtab_api.v1alpha1.train import Train

__all__ = ["check_search"]

Path = tuple[str | int, ...]

_MOST_TRIALS = 10_000
_NEAR = 0.75

_JOINT_FIELDS = (
    ("train.epochs", "train.steps"),
    ("train.batchSize", "train.accumulateSteps"),
    ("train.precision.lossScale.mode", "train.precision.lossScale.value"),
)
"""Fields that one rule reads together, so that a trial may break it where no value alone does."""


def check_search(spec: Spec, search: Search, path: Path) -> Iterator[Finding]:
    """Yield a finding for each parameter or point that no trial could run.

    Args:
        spec: A spec whose types and rules hold.
        search: Its search.
        path: Where the search stands.
    """
    parameters = search.parameters or ()
    findings = [
        finding
        for index, parameter in enumerate(parameters)
        for finding in _check_parameter(spec, parameter, (*path, "parameters", index))
    ]
    yield from findings
    if not findings:
        yield from _check_joint_fields(spec, search, path)
    if search.num_trials is None:
        yield from _check_computed_trials(search, path)
    spaces = {entry.name: entry.search_space for entry in search.parameters or DEFAULT_PARAMETERS}
    for index, point in enumerate(search.warm_start.points):
        yield from _check_point(point, spaces, (*path, "warmStart", "points", index))


def _check_parameter(spec: Spec, parameter: Parameter, path: Path) -> Iterator[Finding]:
    name = parameter.name
    at_name = (*path, "name")
    if name.startswith("dataset.args.") and spec.dataset.entrypoint is None:
        yield Finding(at_name, f'"{name}"', "needs dataset.entrypoint, which takes the args")
        return
    if name == "train.numWorkers":
        yield Finding(at_name, f'"{name}"', "must not be searched: all trials run on equal workers")
        return
    for where, value in _extremes(parameter.search_space):
        try:
            apply_parameters(spec, {name: value})
        except KeyError:
            expectation = "is not a field that a search can replace" + _suggest(name)
            yield Finding(at_name, f'"{name}"', expectation)
            return
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            yield Finding(
                (*path, "searchSpace", *where), str(value), f"must be valid for {name}: {reason}"
            )


def _suggest(name: str) -> str:
    """Return the field that was probably meant, compared without case; empty if none is near."""
    fields = {field.partition(".")[2].casefold(): field for field in _list_fields(Train, "train")}
    wanted = name.partition(".")[2].casefold()
    near = difflib.get_close_matches(wanted, fields, n=1, cutoff=_NEAR)
    return f"; did you mean {fields[near[0]]}?" if near else ""


def _list_fields(model: type[BaseModel], path: str) -> Iterator[str]:
    """Yield the paths of a model's fields that hold a plain value."""
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}"
        options = [field.annotation, *get_args(field.annotation)]
        below = [option for option in options if isinstance(option, type)]
        models = [option for option in below if issubclass(option, BaseModel)]
        if models:
            yield from _list_fields(models[0], here)
        else:
            yield here


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


def _check_joint_fields(spec: Spec, search: Search, path: Path) -> Iterator[Finding]:
    parameters = search.parameters or DEFAULT_PARAMETERS
    for fields in _JOINT_FIELDS:
        searched = [entry for entry in parameters if entry.name in fields]
        for corner in _corners(searched):
            train = apply_parameters(spec, corner).stages.train
            broken = next(check_rules(train), None) if train is not None else None
            if broken is not None:
                # The computed parameters stand nowhere, so the list of them is blamed.
                at = (parameters.index(searched[-1]),) if search.parameters else ()
                shown = ", ".join(f"{name}: {value}" for name, value in corner.items())
                reason = f"{broken.path[-1]} {broken.expectation}"
                yield Finding(
                    (*path, "parameters", *at), shown, f"must give valid trials only: {reason}"
                )
                break


def _corners(parameters: Sequence[Parameter]) -> Iterator[dict[str, Scalar]]:
    """Yield the points at which a rule over ordered values or over words breaks first."""
    values = []
    for parameter in parameters:
        found = [value for _, value in _extremes(parameter.search_space)]
        numbers = [value for value in found if not isinstance(value, str)]
        values.append([min(numbers), max(numbers)] if numbers else list(dict.fromkeys(found)))
    names = [parameter.name for parameter in parameters]
    for corner in itertools.product(*values) if names else ():
        yield dict(zip(names, corner, strict=True))


def _check_computed_trials(search: Search, path: Path) -> Iterator[Finding]:
    trials = compute_trials(search)
    if trials > _MOST_TRIALS:
        expectation = f"must be given for a grid of {trials:,} points, at most {_MOST_TRIALS:,}"
        yield Finding((*path, "numTrials"), "", expectation)
    elif search.parallel_trials > trials:
        yield Finding(
            (*path, "parallelTrials"),
            str(search.parallel_trials),
            f"must not exceed numTrials, which is {trials} where it is not given",
        )


def _check_point(
    point: Mapping[str, Scalar], spaces: Mapping[str, SearchSpace], path: Path
) -> Iterator[Finding]:
    for name, value in point.items():
        if name not in spaces:
            names = ", ".join(spaces)
            yield Finding((*path, name), render_value(value), f"must be searched: one of {names}")
        elif find_value(spaces[name], value) is None:
            yield Finding(
                (*path, name), render_value(value), f"must be {describe_space(spaces[name])}"
            )
