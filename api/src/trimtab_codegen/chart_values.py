"""The values of the Helm chart: the one source of its values.yaml, its schema and its table.

Rendered by `chart`. `deploy` takes the defaults, so that chart and plain manifests agree.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from trimtab_api.v1alpha1._base import ApiModel
from trimtab_api.v1alpha1.pods import NodeSelector, Resources, SecretRef, Tolerations
from trimtab_api.v1alpha1.runtime import RAY_VERSION

__all__ = ["VERSION", "ChartValues", "Image"]

VERSION = "0.1.0"
"""Of the release: the tag of its images."""

_Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
_Digest = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")]
# A colon is the port of a registry, never a tag, which has its own key.
_Repository = Annotated[
    str, StringConstraints(max_length=255, pattern=r"^([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+$")
]
_Name = Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")]
_Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
_Version = Annotated[str, StringConstraints(max_length=16, pattern=f"^$|{RAY_VERSION}")]
_Place = Annotated[
    str,
    StringConstraints(
        max_length=1024,
        pattern=r"^((pvc|s3)://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^@?#]*)?)?$",
    ),
]
_Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}(ms|s|m|h)$")]
_Labels = Annotated[dict[str, str], Field(max_length=64)]
_Address = Annotated[str, StringConstraints(max_length=1024, pattern=r"^(https?://[^\s]*[^\s/])?$")]
_Port = Annotated[int, Field(ge=1, le=65535)]


class PullPolicy(StrEnum):
    """When a node pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    """What the operator logs."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Image(ApiModel):
    """An image that is named in parts."""

    repository: _Repository
    """Name of the image, with its registry and without a tag."""
    tag: _Tag = VERSION
    """Its tag."""
    digest: _Digest = ""
    """Its digest, `sha256:…`. With it nodes pull exactly this image, whatever the tag says."""

    def reference(self) -> str:
        """Return the image as pods name it."""
        return f"{self.repository}:{self.tag}{f'@{self.digest}' if self.digest else ''}"


class OperatorImage(Image):
    """The image of the operator."""

    repository: _Repository = "trimtab-operator"
    """Name of the operator's image, with its registry and without a tag."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When nodes pull it: Always, IfNotPresent or Never."""


class TrainerImage(Image):
    """The image of Ray's pods."""

    repository: _Repository = "trimtab-trainer"
    """Image of Ray's pods where a job names none, with its registry and without a tag."""


class Definitions(ApiModel):
    """What happens to the definition of OptimizationJob."""

    install: bool = True
    """Install and upgrade the definition of OptimizationJob. Without it, apply `crds/` yourself."""
    keep: bool = True
    """Leave the definition at uninstallation. Without it all jobs are deleted with it."""


class MetricsValues(ApiModel):
    """What Prometheus reads."""

    enabled: bool = True
    """Answer `/metrics` on port 8081."""
    tls_secret: _Name = ""
    """Secret with tls.crt and tls.key for `/metrics`; renewed files are read anew. Empty = HTTP."""
    client_certificates: bool = False
    """Let only clients read for which ca.crt of the same Secret vouches."""
    server_name: _Name = ""
    """Name in the certificate, which a monitor checks by ca.crt; empty = that of the Service."""
    client_secret: _Name = ""
    """Secret with tls.crt and tls.key that a monitor shows; client certificates need it."""


class ServiceMonitorValues(ApiModel):
    """How Prometheus Operator is told of the operator, by a Service."""

    enabled: bool = False
    """Make a Service and a ServiceMonitor; Prometheus Operator's definitions must be there."""
    interval: _Duration = "30s"
    """How often Prometheus reads."""
    labels: _Labels = Field(default_factory=dict)
    """Labels by which your Prometheus selects the ServiceMonitor, such as `release: …`."""


class PodMonitorValues(ApiModel):
    """How Prometheus Operator is told of the operator, without a Service."""

    enabled: bool = False
    """Make a PodMonitor in place of a ServiceMonitor and its Service."""
    interval: _Duration = "30s"
    """How often Prometheus reads."""
    labels: _Labels = Field(default_factory=dict)
    """Labels by which your Prometheus selects the PodMonitor."""


class PrometheusRuleValues(ApiModel):
    """The alerts."""

    enabled: bool = False
    """Make a PrometheusRule of the alerts; Prometheus Operator's definitions must be there."""
    labels: _Labels = Field(default_factory=dict)
    """Labels by which your Prometheus selects the PrometheusRule."""
    documents: _Address = ""
    """Address of this project's files: alerts get a `runbook_url`; empty = only the page's path."""


class DashboardValues(ApiModel):
    """The dashboards."""

    enabled: bool = False
    """Make ConfigMaps for Grafana. Enable in one release only: they show all operators."""
    labels: _Labels = Field(default_factory=lambda: {"grafana_dashboard": "1"})
    """Labels by which the sidecar finds them."""


class NetworkPolicyValues(ApiModel):
    """Who may reach the operator, and whom it may reach."""

    enabled: bool = True
    """Refuse connections to the operator but for metrics; probes of its own node reach it."""
    api_server_ports: Annotated[tuple[_Port, ...], Field(max_length=8)] = ()
    """Ports of the API server's endpoints. With them it connects to these and DNS only."""


class DisruptionBudget(ApiModel):
    """Whether the operator may be evicted."""

    enabled: bool = False
    """Make a PodDisruptionBudget. Jobs go on while the operator moves, so none is needed."""
    max_unavailable: Annotated[int, Field(ge=0, le=1)] = 1
    """How many operators an eviction may take away; 0 keeps nodes with it from being drained."""


class ChartValues(ApiModel):
    """All values."""

    image: OperatorImage = OperatorImage()
    """Image of the operator."""
    trainer_image: TrainerImage = TrainerImage()
    """Image of Ray's pods."""
    image_pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=8)] = ()
    """Secrets with which the operator's image is pulled, as `name: …`. Jobs have their own."""
    watch_namespaces: Annotated[
        tuple[_Namespace, ...], Field(max_length=64, json_schema_extra={"uniqueItems": True})
    ] = ()
    """Existing namespaces whose jobs are run and where it has its rights; empty = all."""
    log_level: LogLevel = LogLevel.INFO
    """Least severe level that is logged: DEBUG, INFO, WARNING or ERROR."""
    storage_uri: _Place = ""
    """Storage of jobs that name none, `s3://…` or `pvc://…`. Empty means that every job must."""
    ray_version: _Version = ""
    """Version of Ray in the trainer's image, from 2.53.0 on. Empty means that of this release."""
    crds: Definitions = Definitions()
    """The definition of OptimizationJob."""
    resources: Resources = Resources(
        limits={"memory": "512Mi"}, requests={"cpu": "100m", "memory": "160Mi"}
    )
    """Resources of the operator. It needs no limit on the CPU."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels of the nodes on which the operator may run."""
    tolerations: Tolerations = ()
    """Taints of nodes that do not keep the operator away."""
    priority_class_name: _Name = ""
    """PriorityClass of the operator."""
    pod_annotations: Annotated[dict[str, str], Field(max_length=64)] = Field(default_factory=dict)
    """Annotations of the operator's pod."""
    metrics: MetricsValues = MetricsValues()
    """Metrics for Prometheus."""
    service_monitor: ServiceMonitorValues = ServiceMonitorValues()
    """ServiceMonitor of the operator."""
    pod_monitor: PodMonitorValues = PodMonitorValues()
    """PodMonitor of the operator."""
    prometheus_rule: PrometheusRuleValues = PrometheusRuleValues()
    """PrometheusRule with the alerts."""
    dashboards: DashboardValues = DashboardValues()
    """Dashboards for Grafana."""
    network_policy: NetworkPolicyValues = NetworkPolicyValues()
    """NetworkPolicy of the operator."""
    pod_disruption_budget: DisruptionBudget = DisruptionBudget()
    """PodDisruptionBudget of the operator."""
