"""Stage search: the space, the algorithm and how many trials."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, Mutability, OneOf, Rule
from trimtab_api.v1alpha1._types import JobName, MetricName, ParameterName, Scalar

__all__ = [
    "Asha",
    "Bayesian",
    "Categorical",
    "EarlyStopping",
    "Grid",
    "Hyperband",
    "LogUniform",
    "Median",
    "NumberType",
    "Parameter",
    "Random",
    "Search",
    "SearchAlgorithm",
    "SearchSpace",
    "Surrogate",
    "Uniform",
    "WarmStart",
]


class NumberType(StrEnum):
    """Whether a range gives fractions or whole numbers."""

    FLOAT = "Float"
    INT = "Int"


# Whole numbers up to here are exact as floats and fit the API server's integers.
_LARGEST = 1e15
Bound = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]
PositiveBound = Annotated[float, Field(gt=0, le=_LARGEST)]
# Values of a stepped range are rounded to 12 decimals, which must tell neighbours apart.
Step = Annotated[float, Field(ge=1e-9, le=_LARGEST)]

_ORDERED = Rule(
    cel="self.min <= self.max",
    check=lambda self: self.min <= self.max,
    message="must be at least min",
    field="max",
)
_WHOLE = Rule(
    cel="self.type != 'Int' || (double(int(self.min)) == self.min && double(int(self.max)) == self.max)",
    check=lambda self: (
        self.type is not NumberType.INT
        or (float(self.min).is_integer() and float(self.max).is_integer())
    ),
    message="must have whole numbers as min and max when type is Int",
)


class Uniform(ApiModel):
    """A range whose values are equally likely."""

    min: Bound
    """Smallest value."""
    max: Bound
    """Largest value, included."""
    step: Step | None = None
    """Distance between neighbouring values, counted from min; absent = any value, for Int every whole number."""
    type: NumberType = NumberType.FLOAT
    """Float or Int."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _ORDERED,
        _WHOLE,
        Rule(
            cel="self.type != 'Int' || !has(self.step) || double(int(self.step)) == self.step",
            check=lambda self: (
                self.type is not NumberType.INT
                or self.step is None
                or float(self.step).is_integer()
            ),
            message="must be a whole number when type is Int",
            field="step",
        ),
    )


class LogUniform(ApiModel):
    """A range whose orders of magnitude are equally likely."""

    min: PositiveBound
    """Smallest value, above 0."""
    max: PositiveBound
    """Largest value, included."""
    type: NumberType = NumberType.FLOAT
    """Float or Int."""

    rules: ClassVar[tuple[Rule, ...]] = (_ORDERED, _WHOLE)


class Categorical(ApiModel):
    """A list of values without order."""

    choices: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=100)]
    """The values, JSON scalars."""


class SearchSpace(OneOf):
    """The values that a parameter may take. Exactly one kind."""

    union: ClassVar[tuple[str, ...]] = ("uniform", "log_uniform", "categorical")

    uniform: Uniform | None = None
    """A range, optionally stepped."""
    log_uniform: LogUniform | None = None
    """A range over orders of magnitude."""
    categorical: Categorical | None = None
    """A list of values."""


class Parameter(ApiModel):
    """One field that the search replaces."""

    name: ParameterName
    """Path of the field it replaces: `train.<field>`, `model.args.<name>` or `dataset.args.<name>`."""
    search_space: SearchSpace
    """The values to try."""


class Grid(ApiModel):
    """Every point of a finite space, once."""


class Random(ApiModel):
    """Independent draws."""


class Surrogate(StrEnum):
    """The model that Bayesian search builds of the objective."""

    TPE = "TPE"
    """Tree-structured Parzen estimator."""
    GAUSSIAN_PROCESS = "GaussianProcess"
    """Gaussian process; its suggestions cost more, and it needs fewer of them on smooth objectives."""


class Bayesian(ApiModel):
    """Draws guided by a model of what was seen."""

    surrogate: Surrogate = Surrogate.TPE
    """TPE or GaussianProcess."""
    startup_trials: Annotated[int, Field(ge=1, le=10000)] = 10
    """Random trials before the model guides."""


class SearchAlgorithm(OneOf):
    """How points are chosen. Exactly one of grid, random and bayesian."""

    union: ClassVar[tuple[str, ...]] = ("grid", "random", "bayesian")

    grid: Grid | None = None
    """Every point once; needs a finite space."""
    random: Random | None = None
    """Independent draws."""
    bayesian: Bayesian | None = None
    """Draws guided by what was seen."""


MinEpochs = Annotated[int, Field(ge=1, le=100000)]
ReductionFactor = Annotated[int, Field(ge=2, le=16)]


class Asha(ApiModel):
    """Asynchronous successive halving: at each rung only the best part goes on."""

    min_epochs: MinEpochs = 1
    """Epochs of the first rung: no trial is stopped before."""
    reduction_factor: ReductionFactor = 3
    """One of so many trials goes on past a rung, and the next rung is so many times as far."""


class Hyperband(ApiModel):
    """Successive halving with several first rungs, because early epochs can mislead."""

    min_epochs: MinEpochs = 1
    """Epochs of the earliest first rung."""
    reduction_factor: ReductionFactor = 3
    """One of so many trials goes on past a rung, and the next rung is so many times as far."""


class Median(ApiModel):
    """Stops a trial that is worse than the median of the others at the same epoch."""

    min_epochs: MinEpochs = 1
    """No trial is stopped before so many epochs."""
    startup_trials: Annotated[int, Field(ge=1, le=10000)] = 5
    """Trials that must have ended before one is stopped."""


class EarlyStopping(OneOf):
    """Stops trials that will not win. Exactly one of asha, hyperband and median."""

    union: ClassVar[tuple[str, ...]] = ("asha", "hyperband", "median")

    metric: MetricName | None = None
    """The one metric that is judged after each epoch, of the validation split. Computed: that of the only objective; it must be named where there are several."""
    asha: Asha | None = None
    """Asynchronous successive halving."""
    hyperband: Hyperband | None = None
    """Successive halving with several first rungs."""
    median: Median | None = None
    """The median rule."""


class WarmStart(ApiModel):
    """What is known before the first trial."""

    points: Annotated[
        tuple[Annotated[dict[ParameterName, Scalar], Field(min_length=1, max_length=32)], ...],
        Field(max_length=32),
    ] = ()
    """Points to try first: name of the parameter → value. What a point leaves out is drawn."""
    from_job: JobName | None = None
    """An earlier job of the same namespace (locally: of the same folder of runs), whose results guide the search from its first trial. Points outside this job's space are left out."""


def _is_finite(space: SearchSpace) -> bool:
    if space.uniform is not None:
        return space.uniform.step is not None or space.uniform.type is NumberType.INT
    return space.categorical is not None


class Search(ApiModel):
    """Hyperparameter search: each trial is one training with the recipe of stages.train."""

    mutability: ClassVar[dict[str, Mutability]] = {
        "num_trials": Mutability.AT_ONCE,
        "parallel_trials": Mutability.AT_ONCE,
        "max_failed_trials": Mutability.AT_ONCE,
        "trial_timeout_seconds": Mutability.AT_ONCE,
        "warm_start": Mutability.AT_ONCE,
    }

    algorithm: SearchAlgorithm = Field(default_factory=lambda: SearchAlgorithm(bayesian=Bayesian()))
    """How points are chosen; bayesian where absent."""
    parameters: Annotated[tuple[Parameter, ...], Field(min_length=1, max_length=32)] | None = None
    """What is searched. Computed: train.learningRate, train.batchSize and train.weightDecay."""
    num_trials: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Trials in all. Computed: 20, for grid all points. Raising it continues the study, lowering it below what is done ends the search."""
    parallel_trials: Annotated[int, Field(ge=1, le=256)] = 1
    """Trials at once; each gets its share of the cores."""
    max_failed_trials: Annotated[int, Field(ge=0, le=10000)] | None = None
    """More failed trials than this fail the job. Computed: the larger of 3 and 20 % of numTrials."""
    trial_timeout_seconds: Annotated[int, Field(ge=1, le=604800)] = 900
    """Longest silence of a trial; then it is killed."""
    early_stopping: EarlyStopping | None = None
    """Stops trials that will not win; all run to their end where absent."""
    warm_start: WarmStart = Field(default_factory=WarmStart)
    """What is known before the first trial."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.numTrials) || self.parallelTrials <= self.numTrials",
            check=lambda self: self.num_trials is None or self.parallel_trials <= self.num_trials,
            message="must not exceed numTrials",
            field="parallel_trials",
        ),
        Rule(
            cel="!has(self.algorithm.grid) || !has(self.parameters) || self.parameters.all(p,"
            " has(p.searchSpace.categorical) || (has(p.searchSpace.uniform) &&"
            " (has(p.searchSpace.uniform.step) || p.searchSpace.uniform.type == 'Int')))",
            check=lambda self: (
                self.algorithm.grid is None
                or self.parameters is None
                or all(_is_finite(parameter.search_space) for parameter in self.parameters)
            ),
            message="must all be finite for grid: categorical, uniform with step, or uniform of type Int",
            field="parameters",
        ),
        Rule(
            cel="!has(self.algorithm.grid) || has(self.parameters)",
            check=lambda self: self.algorithm.grid is None or self.parameters is not None,
            message="must be given for grid: the computed ones are ranges without steps",
            field="parameters",
        ),
        Rule(
            cel="!has(self.parameters) || self.parameters.all(p, self.parameters.exists_one(q, q.name == p.name))",
            check=lambda self: (
                self.parameters is None
                or len({parameter.name for parameter in self.parameters}) == len(self.parameters)
            ),
            message="must name each field once",
            field="parameters",
        ),
    )
