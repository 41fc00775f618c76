"""What is optimized: the network, its data and the task that scores it."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab_api.v1alpha1._base import ApiModel, OneOf, Rule
from trimtab_api.v1alpha1._types import Args, Entrypoint, Sha256, Uri
from trimtab_api.v1alpha1.pods import SecretRef

__all__ = ["Cache", "Dataset", "Model", "Normalize", "Split", "Task", "Weights"]


class Weights(ApiModel):
    """Initial weights of the network."""

    uri: Uri
    """Where the safetensors file lies: `s3://bucket/key`, `pvc://claim/path` or, locally, `file:///path`. No other format is read."""
    secret_ref: SecretRef | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for an `s3://` place, as in spec.storage."""
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


class Cache(StrEnum):
    """Whether decoded data are kept for all trials of a machine."""

    NONE = "None"
    """Each process loads its own."""
    NODE = "Node"
    """One copy per node, which all trials map into their memory."""


class Dataset(OneOf):
    """The data: a built-in set, a folder, or the user's own. Exactly one source."""

    union: ClassVar[tuple[str, ...]] = ("builtin", "image_folder", "idx", "entrypoint")

    builtin: Annotated[str, Field(max_length=64, pattern="^digits$")] | None = None
    """`digits`: 1,797 images of 8×8 pixels that come with scikit-learn."""
    image_folder: Uri | None = None
    """A folder with one folder of images per class, or with folders `train` and optionally `val` and `test` that hold such."""
    idx: Uri | None = None
    """A folder of IDX files as MNIST and Fashion-MNIST have them, plain or gzipped."""
    entrypoint: Entrypoint | None = None
    """`module:attr`, called with `args`; returns a mapping with `train` and optionally `validation` and `test`, each a map-style data set of (input, target). Every process of a job and every later start calls it, and must get the same samples: draw samples with a fixed seed. Inputs may be augmented at random when a sample is read."""
    args: Args = Field(default_factory=dict)
    """Keyword arguments of the entry point, JSON scalars."""
    secret_ref: SecretRef | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for an `s3://` place, as in spec.storage."""
    image_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Height and width in pixels that the network works at. Images of a folder are resized when they are loaded, others inside the exported graph. Computed: 224 for a folder, else the data set's own size, or the smallest that a built-in network takes where that is larger."""
    normalize: Normalize | None = None
    """Normalization inside the exported graph. Computed: mean and deviation of the training split."""
    split: Split = Field(default_factory=Split)
    """Shares for validation and test."""
    cache: Cache = Cache.NONE
    """None or Node. Data of an entry point are never kept: their samples may be augmented at random."""
    max_bad_samples: Annotated[int, Field(ge=0, le=1000000)] = 0
    """Unreadable images of a folder that may be skipped; one more fails the job."""

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
        Rule(
            cel="self.maxBadSamples == 0 || has(self.imageFolder)",
            check=lambda self: self.max_bad_samples == 0 or self.image_folder is not None,
            message="applies to images of a folder; set dataset.imageFolder or remove it",
            field="max_bad_samples",
        ),
        Rule(
            cel="self.cache == 'None' || !has(self.entrypoint)",
            check=lambda self: self.cache is Cache.NONE or self.entrypoint is None,
            message="must be None for an entrypoint, whose samples may be augmented at random",
            field="cache",
        ),
    )


class Task(OneOf):
    """Loss and metrics. Exactly one of builtin and entrypoint."""

    union: ClassVar[tuple[str, ...]] = ("builtin", "entrypoint")

    builtin: Annotated[str, Field(max_length=64, pattern="^classification$")] | None = None
    """`classification`: cross entropy, with metrics accuracy, top5_accuracy and loss."""
    entrypoint: Entrypoint | None = None
    """`module:attr`, called without arguments; returns an object with `loss(output, target)` and `metrics(output, target)`."""
