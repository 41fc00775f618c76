"""The kinds of objects that the operator touches, with the rights that it needs on each.

One table for the watches, the requests, the resync and the generated roles, so that no right is
asked for that no code uses.
"""

from dataclasses import dataclass

from trimtab_api.labels import LABEL_JOB_UID
from trimtab_api.v1alpha1.job import GROUP, KIND, VERSION

__all__ = [
    "CHILD_KINDS",
    "CLAIM",
    "CLUSTER_RULES",
    "CONFIG_MAP",
    "EVENT",
    "FEW_NAMESPACES_RULES",
    "JOB",
    "KINDS",
    "NAMESPACE_RULES",
    "NETWORK_POLICY",
    "OPTIMIZATION_JOB",
    "POD",
    "RAY_JOB",
    "ROLE",
    "ROLE_BINDING",
    "SERVICE_ACCOUNT",
    "WATCHED_KINDS",
    "ApiKind",
    "Rule",
    "find_kind",
]


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One kind of namespaced object.

    Attributes:
        name: As in `kind`.
        group: API group; "" for the core.
        version: The version that is read and written.
        plural: As in paths and rules.
        verbs: What the operator does with it.
        selector: Label selector of its watch and lists; "" where all objects count.
    """

    name: str
    group: str
    version: str
    plural: str
    verbs: tuple[str, ...]
    selector: str = ""

    @property
    def api_version(self) -> str:
        """Return what stands in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Return the resource as people and RBAC messages name it: `rayjobs.ray.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of an object, of a namespace's objects, or of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{scope}/{self.plural}{f'/{name}' if name else ''}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


_WATCH = ("get", "list", "watch")
# Server-side apply of an absent object asks for create, of any object for patch.
_APPLY = (*_WATCH, "create", "patch")

OPTIMIZATION_JOB = ApiKind(KIND, GROUP, VERSION, "optimizationjobs", (*_WATCH, "delete"))
RAY_JOB = ApiKind("RayJob", "ray.io", "v1", "rayjobs", (*_APPLY, "delete"), LABEL_JOB_UID)
JOB = ApiKind("Job", "batch", "v1", "jobs", (*_APPLY, "delete"), LABEL_JOB_UID)
CONFIG_MAP = ApiKind("ConfigMap", "", "v1", "configmaps", (*_APPLY, "delete"), LABEL_JOB_UID)
SERVICE_ACCOUNT = ApiKind("ServiceAccount", "", "v1", "serviceaccounts", _APPLY, LABEL_JOB_UID)
ROLE = ApiKind("Role", "rbac.authorization.k8s.io", "v1", "roles", _APPLY, LABEL_JOB_UID)
ROLE_BINDING = ApiKind(
    "RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings", _APPLY, LABEL_JOB_UID
)
NETWORK_POLICY = ApiKind(
    "NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", _APPLY, LABEL_JOB_UID
)
POD = ApiKind("Pod", "", "v1", "pods", _WATCH, LABEL_JOB_UID)
CLAIM = ApiKind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", ("get",))
EVENT = ApiKind("Event", "", "v1", "events", ("create",))

CHILD_KINDS = (
    RAY_JOB,
    JOB,
    CONFIG_MAP,
    SERVICE_ACCOUNT,
    ROLE,
    ROLE_BINDING,
    NETWORK_POLICY,
    POD,
)
WATCHED_KINDS = (OPTIMIZATION_JOB, *CHILD_KINDS)
KINDS = (*WATCHED_KINDS, CLAIM, EVENT)

NAMESPACE_RULES = (
    *(Rule(kind.group, (kind.plural,), kind.verbs) for kind in KINDS),
    Rule(GROUP, ("optimizationjobs/status",), ("patch",)),
)
"""What is needed where jobs are: everywhere, or in the namespaces that are watched."""
CLUSTER_RULES = (
    # kopf starts and stops watches as definitions come and go: KubeRay may be installed later.
    Rule("apiextensions.k8s.io", ("customresourcedefinitions",), ("list", "watch")),
)
"""What is needed in the whole cluster besides."""
FEW_NAMESPACES_RULES = (
    # A namespace that goes takes the operator's role with it: its watches end before they fail.
    Rule("", ("namespaces",), ("list", "watch")),
)
"""What is needed in the whole cluster where single namespaces are watched."""

_BY_NAME = {kind.name: kind for kind in KINDS}


def find_kind(name: str) -> ApiKind:
    """Return a kind by its name.

    Raises:
        KeyError: Where the operator does not know it.
    """
    return _BY_NAME[name]
