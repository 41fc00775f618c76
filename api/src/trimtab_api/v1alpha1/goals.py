"""How good the result must be: objectives, constraints and the targets they are measured on."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1._types import MetricName, TargetName
from trimtab_api.v1alpha1.pods import Image, NodeSelector, Resources, Tolerations

__all__ = [
    "Constraint",
    "Direction",
    "Objective",
    "Prefer",
    "Profile",
    "Runtime",
    "Target",
    "TargetDevice",
]


class Direction(StrEnum):
    """Which way a metric improves."""

    MAXIMIZE = "Maximize"
    MINIMIZE = "Minimize"


class Objective(ApiModel):
    """A metric that the search optimizes."""

    metric: MetricName
    """Metric of the validation split, such as `accuracy` or `loss`, or one of the task's own."""
    direction: Direction
    """Maximize or Minimize."""
    goal: float | None = None
    """Reaching it ends the search early; only the first objective's goal does."""


class Constraint(OneOf):
    """A hard limit on one metric. Exactly one kind of limit."""

    union: ClassVar[tuple[str, ...]] = (
        "max",
        "min",
        "max_drop",
        "max_drop_ratio",
        "min_gain",
        "min_gain_ratio",
    )

    metric: MetricName
    """Validation metric (`accuracy`, `loss`), static metric (`params`, `flops`, `sparsity`) or metric of a target (`size_mib`, `size_compressed_mib`, `latency_p50_ms`, `latency_p95_ms`, `throughput_per_s`, `memory_mib`, `speedup`)."""
    target: TargetName | None = None
    """The target that it holds on; absent = every target."""
    max: float | None = None
    """Largest value allowed, in the metric's unit."""
    min: float | None = None
    """Smallest value allowed, in the metric's unit."""
    max_drop: Annotated[float, Field(ge=0)] | None = None
    """Largest worsening against the baseline, in the metric's unit. On the primary metric it is the accuracy budget that the stages share."""
    max_drop_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest worsening against the baseline, as a share of the baseline's value."""
    min_gain: Annotated[float, Field(gt=0)] | None = None
    """Smallest improvement against the baseline, in the metric's unit."""
    min_gain_ratio: Annotated[float, Field(gt=0)] | None = None
    """Smallest improvement against the baseline, as a share of the baseline's value."""


class Profile(StrEnum):
    """A class of hardware with its defaults for pruning, quantization and measurement."""

    MOBILE = "mobile"
    """One request at a time on a phone: 2 threads, batch 1, prefers size."""
    CPU_EDGE = "cpu-edge"
    """One request at a time on few cores: 2 threads, batch 1, prefers p95 latency."""
    GPU_EDGE = "gpu-edge"
    """One request at a time on a small GPU: batch 1, prefers p95 latency."""
    CPU_SERVER = "cpu-server"
    """Many requests on all cores: batch 8, prefers throughput."""
    GPU_SERVER = "gpu-server"
    """Many requests on a GPU: batch 32, prefers accuracy."""


class Runtime(StrEnum):
    """The program that runs the exported file."""

    ONNXRUNTIME = "onnxruntime"
    """Takes onnx."""
    TORCH = "torch"
    """Takes pt2."""
    OPENVINO = "openvino"
    """Takes openvino."""


class TargetDevice(StrEnum):
    """Where the runtime computes."""

    CPU = "cpu"
    CUDA = "cuda"


class Prefer(StrEnum):
    """Which feasible candidate ships."""

    SPEED = "Speed"
    SIZE = "Size"
    ACCURACY = "Accuracy"


class Target(ApiModel):
    """What to build for and measure on."""

    name: TargetName
    """Name of the target, unique in the job."""
    profile: Profile | None = None
    """Class of hardware. Computed: what is detected where the job runs, cpu-server here."""
    prefer: Prefer | None = None
    """Which feasible candidate ships. Computed: by profile."""
    runtime: Runtime | None = None
    """What runs the file: onnxruntime, torch or openvino. Computed: by profile."""
    device: TargetDevice | None = None
    """cpu or cuda; OpenVINO knows only cpu. Computed: by profile."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Samples per inference when measured. Computed: by profile."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads of the runtime when measured. Computed: by profile, at most the cores there are."""
    image: Image | None = None
    """Image of the pod that measures. Computed: that of the cluster."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels of the nodes on which it is measured, by a Job of its own after all else; none = where the trials run. A local run measures every target where it runs."""
    tolerations: Tolerations = ()
    """Taints of these nodes that do not keep the pod away."""
    resources: Resources | None = None
    """Resources of the pod that measures."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(has(self.nodeSelector) && size(self.nodeSelector) > 0) || !(has(self.image) ||"
            " has(self.resources) || (has(self.tolerations) && size(self.tolerations) > 0))",
            check=lambda self: (
                self.is_placed
                or (self.image is None and self.resources is None and not self.tolerations)
            ),
            message="must be set where image, tolerations or resources are: they belong to a Job of the target's own",
            field="node_selector",
        ),
    )

    @property
    def is_placed(self) -> bool:
        """Return whether a cluster measures it by a Job of its own."""
        return bool(self.node_selector)
