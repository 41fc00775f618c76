"""What is optimized: the network, its data and the task that scores it."""

from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1._types import Args, Entrypoint, Sha256, Uri

__all__ = ["Dataset", "Model", "Normalize", "Split", "Task", "Weights"]


class Weights(ApiModel):
    """Initial weights of the network."""

    uri: Uri
    """Where the safetensors file lies: `pvc://claim/path` or, locally, `file:///path`. No other format is read."""
    sha256: Sha256 | None = None
    """SHA-256 of the file, 64 lower-case hex digits; checked before anything of it is loaded."""


class Model(OneOf):
    """The network: a built-in one or the user's own. Exactly one of builtin and entrypoint."""

    union: ClassVar[tuple[str, ...]] = ("builtin", "entrypoint")

    builtin: (
        Annotated[str, Field(max_length=64, pattern=r"^(mlp|small-cnn|torchvision/[a-z0-9_]+)$")]
        | None
    ) = None
    """`mlp`, `small-cnn` or `torchvision/<name>`, a classification network of torchvision."""
    entrypoint: Entrypoint | None = None
    """`module:attr`, called with `args`; it returns a torch.nn.Module. The module is imported from the manifest's folder."""
    args: Args = Field(default_factory=dict)
    """Keyword arguments of the network, JSON scalars. `num_classes` of a built-in network defaults to the data set's."""
    weights: Weights | None = None
    """Initial weights; random where absent."""


class Normalize(ApiModel):
    """Normalization that given weights were trained with, per channel."""

    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=4)]
    """Mean per channel, in the units of decoded images (0 to 1)."""
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=4)]
    """Standard deviation per channel, in the units of decoded images (0 to 1)."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="size(self.mean) == size(self.std)",
            check=lambda self: len(self.mean) == len(self.std),
            message="must have as many entries as mean",
            field="std",
        ),
    )


class Split(ApiModel):
    """Shares of the data for validation and test, used where the data has no such split."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share for validation: search, gates and picks use it."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share for test: it is only reported."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.validation + self.test < 1.0",
            check=lambda self: self.validation + self.test < 1,
            message="must leave a part for training: validation + test must be below 1",
        ),
    )


class Dataset(OneOf):
    """The data: a built-in set, a folder, or the user's own. Exactly one source."""

    union: ClassVar[tuple[str, ...]] = ("builtin", "idx", "entrypoint")

    builtin: Annotated[str, Field(max_length=64, pattern="^digits$")] | None = None
    """`digits`: 1,797 images of 8×8 pixels that come with scikit-learn."""
    idx: Uri | None = None
    """A folder of IDX files as MNIST and Fashion-MNIST have them, plain or gzipped."""
    entrypoint: Entrypoint | None = None
    """`module:attr`, called with `args`; returns a mapping with `train` and optionally `validation` and `test`, each a map-style data set of (input, target)."""
    args: Args = Field(default_factory=dict)
    """Keyword arguments of the entry point, JSON scalars."""
    image_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Height and width in pixels that the network works at; images are resized inside the exported graph. Computed: the data set's own size."""
    normalize: Normalize | None = None
    """Normalization inside the exported graph. Computed: mean and deviation of the training split."""
    split: Split = Field(default_factory=Split)
    """Shares for validation and test."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=None,
            check=lambda self: not self.args or self.entrypoint is not None,
            message="belong to an entrypoint; set dataset.entrypoint or remove them",
            field="args",
        ),
        Rule(
            cel="!has(self.entrypoint) || (!has(self.imageSize) && !has(self.normalize))",
            check=lambda self: (
                self.entrypoint is None or (self.image_size is None and self.normalize is None)
            ),
            message="imageSize and normalize apply to images; tensors of an entrypoint are taken as they are",
        ),
    )


class Task(OneOf):
    """Loss and metrics. Exactly one of builtin and entrypoint."""

    union: ClassVar[tuple[str, ...]] = ("builtin", "entrypoint")

    builtin: Annotated[str, Field(max_length=64, pattern="^classification$")] | None = None
    """`classification`: cross entropy, with metrics accuracy, top5_accuracy and loss."""
    entrypoint: Entrypoint | None = None
    """`module:attr`, called without arguments; returns an object with `loss(output, target)` and `metrics(output, target)`."""
