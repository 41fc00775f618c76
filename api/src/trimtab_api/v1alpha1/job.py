"""The OptimizationJob envelope: group, version, kind, metadata, spec.

Read by the command line, the trainer and the code generator. `validation.parse_job` is the way
in: it also applies the rules, which building these models alone does not.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab_api.v1alpha1._base import ApiModel, Mutability, Rule
from trimtab_api.v1alpha1._types import JobName
from trimtab_api.v1alpha1.benchmark import Benchmark
from trimtab_api.v1alpha1.export import Export
from trimtab_api.v1alpha1.goals import Constraint, Direction, Objective, Target
from trimtab_api.v1alpha1.model import Dataset, Model, Task
from trimtab_api.v1alpha1.prune import Prune
from trimtab_api.v1alpha1.quantize import Quantize
from trimtab_api.v1alpha1.runtime import Cluster, FailurePolicy, ManagedBy, Storage
from trimtab_api.v1alpha1.search import Search
from trimtab_api.v1alpha1.train import Train

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "VERSION",
    "Metadata",
    "OptimizationJob",
    "Spec",
    "Stages",
]

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "OptimizationJob"

Seconds = Annotated[int, Field(ge=1, le=2147483647)]


class Metadata(ApiModel):
    """What Trimtab reads of an object's metadata; the rest is Kubernetes' own."""

    model_config = ConfigDict(extra="allow")

    name: JobName
    """RFC 1035 label of at most 40 characters, which leaves room for the names of children."""
    namespace: str | None = None
    """Where it lives; the API server gives it."""
    uid: str | None = None
    """Tells it from an earlier job of the same name; the API server gives it."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Those of `kueue.x-k8s.io/` are copied to its RayJobs."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """`trimtab.dev/paused` and `trimtab.dev/retry` are read."""


class Stages(ApiModel):
    """The steps. search, train, prune and quantize run when present; `{}` takes the defaults."""

    search: Search | None = None
    """Hyperparameter search."""
    train: Train | None = None
    """Training; without it the given weights are compressed as they are."""
    prune: Prune | None = None
    """Pruning."""
    quantize: Quantize | None = None
    """Quantization."""
    export: Export = Field(default_factory=Export)
    """Files; always runs."""
    benchmark: Benchmark = Field(default_factory=Benchmark)
    """Final measurement; always runs."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.search) || has(self.train)",
            check=lambda self: self.search is None or self.train is not None,
            message="needs stages.train: it is the recipe of each trial",
            field="search",
        ),
        Rule(
            cel="!has(self.prune) || has(self.train) || (has(self.prune.finetune) && self.prune.finetune.epochs == 0)",
            check=lambda self: (
                self.prune is None or self.train is not None or self.prune.finetune.epochs == 0
            ),
            message="needs stages.train as the recipe of fine-tuning, or finetune.epochs: 0",
            field="prune",
        ),
    )


class Spec(ApiModel):
    """What is wanted of a job."""

    mutability: ClassVar[dict[str, Mutability]] = dict.fromkeys(
        (
            "suspend",
            "backoff_limit",
            "active_deadline_seconds",
            "pre_running_deadline_seconds",
            "ttl_seconds_after_finished",
        ),
        Mutability.AT_ONCE,
    )

    suspend: bool = False
    """true leaves checkpoints, frees the machines and keeps the study; false goes on with it."""
    managed_by: ManagedBy = ManagedBy.OPERATOR
    """Who reconciles the job: `trimtab.dev/operator`, or `kueue.x-k8s.io/multikueue` where it runs in another cluster."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Failed attempts after which the job is given up; lost nodes, evictions and edits of the spec cost none."""
    active_deadline_seconds: Seconds | None = None
    """Most time in all that is not spent suspended; absent = no end."""
    pre_running_deadline_seconds: Seconds = 1800
    """Most time that an attempt waits for its workers."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """Deletes the job so long after its end, and leaves what is stored; absent = never."""
    seed: Annotated[int, Field(ge=0, le=4294967295)] = 0
    """Seed of split, training, sampler and calibration subset."""
    model: Model
    """The network."""
    dataset: Dataset
    """The data."""
    task: Task = Field(default_factory=lambda: Task(builtin="classification"))
    """Loss and metrics; classification where absent."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=4)] = (
        Objective(metric="accuracy", direction=Direction.MAXIMIZE),
    )
    """What the search optimizes; the first is the primary one."""
    constraints: Annotated[tuple[Constraint, ...], Field(max_length=16)] = ()
    """Hard limits; where none is met by all, the nearest candidate ships and GoalsMet is False."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=8)] = (
        Target(name="host"),
    )
    """What to build for and measure on."""
    stages: Stages
    """The steps."""
    cluster: Cluster = Field(default_factory=Cluster)
    """The machines."""
    storage: Storage | None = None
    """Where results are kept. Computed: by the operator's settings; a local run keeps them in its folder."""
    failure_policy: FailurePolicy = Field(default_factory=FailurePolicy)
    """What follows from failures of trials."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.objectives.all(o, self.objectives.exists_one(p, p.metric == o.metric))",
            check=lambda self: len({o.metric for o in self.objectives}) == len(self.objectives),
            message="must name each metric once",
            field="objectives",
        ),
        Rule(
            cel="self.targets.all(t, self.targets.exists_one(u, u.name == t.name))",
            check=lambda self: len({t.name for t in self.targets}) == len(self.targets),
            message="must have unique names",
            field="targets",
        ),
        Rule(
            cel="!has(self.constraints) || self.constraints.all(c, !has(c.target) ||"
            " self.targets.exists(t, t.name == c.target))",
            check=lambda self: (
                {c.target for c in self.constraints if c.target is not None}
                <= {t.name for t in self.targets}
            ),
            message="must name a target of spec.targets, or none",
            field="constraints",
        ),
        Rule(
            cel="!has(self.model.builtin) || has(self.model.weights) || has(self.stages.train)",
            check=lambda self: (
                self.model.builtin is None
                or self.model.weights is not None
                or self.stages.train is not None
            ),
            message="needs stages.train or model.weights: a built-in network is random otherwise",
            field="model",
        ),
        Rule(
            cel="size(self.objectives) == 1 || !has(self.stages.search) || !has(self.stages.search.earlyStopping)"
            " || has(self.stages.search.earlyStopping.metric)",
            check=lambda self: (
                len(self.objectives) == 1
                or self.stages.search is None
                or self.stages.search.early_stopping is None
                or self.stages.search.early_stopping.metric is not None
            ),
            message="needs search.earlyStopping.metric: with several objectives it must be said which metric stops a trial",
            field="stages",
        ),
    )


class OptimizationJob(ApiModel):
    """One model to search, train, prune, quantize, export and benchmark."""

    api_version: Literal["trimtab.dev/v1alpha1"]
    """trimtab.dev/v1alpha1."""
    kind: Literal["OptimizationJob"]
    """OptimizationJob."""
    metadata: Metadata
    """Name and the rest of an object's metadata."""
    spec: Spec
    """What is wanted."""
