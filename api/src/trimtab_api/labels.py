"""Keys that several programs must spell alike: labels, annotations, environment, paths.

The operator writes them on what it makes; the trainer, the command line and people read them. The
names of objects are made by the operator and stand in its `resources`.
"""

from trimtab_api.stages import StageName

__all__ = [
    "ANNOTATION_IMAGE",
    "ANNOTATION_PAUSED",
    "ANNOTATION_RETRY",
    "CLAIMS_FOLDER",
    "ENV_ATTEMPT",
    "ENV_DRAIN_SECONDS",
    "ENV_JOB",
    "ENV_JOB_UID",
    "ENV_NAMESPACE",
    "ENV_NODE",
    "ENV_PREFIX_DATASET",
    "ENV_PREFIX_MODEL",
    "ENV_PREFIX_STORAGE",
    "ENV_STORAGE",
    "ENV_USAGE_REPORT",
    "ENV_USAGE_STATS",
    "FIELD_MANAGER",
    "JOB_FILE",
    "KEY_CONTROL",
    "KEY_JOB",
    "KEY_PROGRESS",
    "LABEL_ATTEMPT",
    "LABEL_JOB",
    "LABEL_JOB_UID",
    "LABEL_MANAGED_BY",
    "LABEL_NAME",
    "LABEL_TARGET",
    "MANAGED_BY",
    "NAME",
    "OPERATOR",
    "QUEUE_LABEL",
    "QUEUE_LABEL_PREFIX",
    "stage_key",
    "target_key",
]

LABEL_NAME = "app.kubernetes.io/name"
NAME = "trimtab"
"""Value of LABEL_NAME on every child."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "trimtab-operator"
"""Value of LABEL_MANAGED_BY on every child."""
LABEL_JOB = "trimtab.dev/job"
LABEL_JOB_UID = "trimtab.dev/job-uid"
LABEL_ATTEMPT = "trimtab.dev/attempt"
LABEL_TARGET = "trimtab.dev/target"
"""On the Jobs that measure a target."""
QUEUE_LABEL_PREFIX = "kueue.x-k8s.io/"
"""Labels of a job with this prefix are copied to its RayJobs; no others are."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""With it, Kueue decides when a RayJob may start."""

ANNOTATION_PAUSED = "trimtab.dev/paused"
"""The value "true" stops all reconciling of the job."""
ANNOTATION_RETRY = "trimtab.dev/retry"
"""Any new value starts a failed job once more."""
ANNOTATION_IMAGE = "trimtab.dev/image"
"""On the spec ConfigMap of an attempt: the image of its pods, for who comes when they are gone."""

OPERATOR = "trimtab.dev/operator"
"""Value of spec.managedBy that this operator obeys."""
FIELD_MANAGER = "trimtab-operator"
"""Owner of the fields that the operator applies."""

ENV_JOB = "TRIMTAB_JOB"
ENV_NAMESPACE = "TRIMTAB_NAMESPACE"
ENV_JOB_UID = "TRIMTAB_JOB_UID"
ENV_ATTEMPT = "TRIMTAB_ATTEMPT"
ENV_STORAGE = "TRIMTAB_STORAGE"
"""URI of the storage root, without namespace, name and uid of the job."""
ENV_NODE = "TRIMTAB_NODE"
"""Name of the node that the pod is on."""
ENV_USAGE_STATS = "RAY_USAGE_STATS_ENABLED"
"""Always "0": Ray reports nothing to anyone."""
ENV_USAGE_REPORT = "RAY_USAGE_STATS_REPORT_URL"
"""Always no URL: a head that reports nothing would send that it does not."""
ENV_DRAIN_SECONDS = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
"""How long a machine of Ray lets work end once its container is asked to end."""

ENV_PREFIX_STORAGE = "TRIMTAB_STORAGE_"
"""Before the keys of the Secret of spec.storage."""
ENV_PREFIX_MODEL = "TRIMTAB_MODEL_"
"""Before the keys of the Secret of spec.model.weights."""
ENV_PREFIX_DATASET = "TRIMTAB_DATASET_"
"""Before the keys of the Secret of spec.dataset."""

JOB_FILE = "/etc/trimtab/job.json"
"""The manifest in each container, from key KEY_JOB of the spec ConfigMap."""
CLAIMS_FOLDER = "/var/run/trimtab/claims"
"""Each claim of a `pvc://` URI is mounted below it under its name."""

KEY_JOB = "job.json"
KEY_PROGRESS = "progress.json"
KEY_CONTROL = "control.json"


def stage_key(stage: StageName) -> str:
    """Return the key of the report ConfigMap that holds the entry of a stage."""
    return f"{stage}.json"


def target_key(name: str) -> str:
    """Return the key of the report ConfigMap that holds what a target's own Job measured."""
    return f"target-{name}.json"
