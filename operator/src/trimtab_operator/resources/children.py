"""All manifests of a job, in the order in which they are made.

Called by the planner, and by `trimtab plan` to show what would be made.
"""

from collections.abc import Mapping
from typing import Any

from trimtab_api.progress import Control
from trimtab_operator.resources.access import (
    account_name,
    build_role,
    build_role_binding,
    build_service_account,
)
from trimtab_operator.resources.attempt import AttemptInputs
from trimtab_operator.resources.configmaps import build_report_config, build_spec_config, render_job
from trimtab_operator.resources.identity import JobIdentity
from trimtab_operator.resources.networkpolicy import build_network_policy
from trimtab_operator.resources.rayjob import build_rayjob
from trimtab_operator.resources.targetjob import build_target_job

__all__ = ["build_attempt", "build_control", "build_shared", "build_targets"]

Manifest = dict[str, Any]


def build_control(inputs: AttemptInputs, *, stop: bool = False) -> Control:
    """Return what is wanted of the driver of an attempt."""
    search = inputs.spec.stages.search
    return Control(
        attempt=inputs.attempt,
        num_trials=search.num_trials if search else None,
        parallel_trials=search.parallel_trials if search else None,
        stop=stop,
    )


def build_shared(
    identity: JobIdentity, account: str | None, control: Control
) -> tuple[Manifest, ...]:
    """Return what all attempts of a job share: the report, access to it, the NetworkPolicy.

    Args:
        identity: The job.
        account: spec.cluster.serviceAccountName; None makes an account of the job's own.
        control: What is wanted of the driver.
    """
    own = () if account else (build_service_account(identity),)
    return (
        build_report_config(identity, control),
        *own,
        build_role(identity),
        build_role_binding(identity, account_name(identity, account)),
        build_network_policy(identity),
    )


def build_attempt(
    inputs: AttemptInputs, document: Mapping[str, Any], record: str
) -> tuple[Manifest, Manifest]:
    """Return the RayJob of an attempt and then the ConfigMap that its pods wait for.

    In this order a ConfigMap without a RayJob always means that the RayJob was deleted. Both hold
    the record, which so outlives a crash between the two.

    Args:
        inputs: The attempt.
        document: The job as the API server has it.
        record: What the planner remembers of the attempt.
    """
    config = build_spec_config(
        inputs.identity,
        inputs.attempt,
        job_text=render_job(document),
        record=record,
        image=inputs.image,
    )
    return build_rayjob(inputs, record), config


def build_targets(inputs: AttemptInputs) -> tuple[Manifest, ...]:
    """Return the Jobs of the placed targets."""
    return tuple(
        build_target_job(inputs, target) for target in inputs.spec.targets if target.is_placed
    )
