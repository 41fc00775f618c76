"""When time alone changes what there is to do about an attempt that goes on.

Called by `phases`. Whatever else changes comes as an event, or is found by the resync, so a job is
not looked at every few seconds: at a thousand jobs that took a sixth of a core.
"""

import zlib
from collections.abc import Iterator
from itertools import chain

from trimtab_operator.reconcile.endings import (
    active_seconds,
    is_held,
    is_provisioned,
    waiting_seconds,
)
from trimtab_operator.reconcile.situation import Situation

__all__ = ["seconds_to_next_change"]


def seconds_to_next_change(situation: Situation) -> float:
    """Return the seconds until a deadline or a patience of the latest attempt is over.

    Those that are over have had their effect. The last look comes at a time of the job's own, so
    that jobs which were made together are not looked at together.
    """
    spread = zlib.crc32(situation.observed.job.meta.uid.encode()) / 2**32
    look = situation.settings.look_interval * (0.75 + spread / 2)
    moments = chain(
        _list_deadlines(situation), _list_patience_with_kuberay(situation), _list_silence(situation)
    )
    return min([look, *(left for left in moments if left > 0)])


def _list_deadlines(situation: Situation) -> Iterator[float]:
    spec = situation.spec
    if spec is None or is_held(situation):
        return
    if spec.active_deadline_seconds is not None:
        yield spec.active_deadline_seconds - active_seconds(situation)
    if is_provisioned(situation):
        return
    yield spec.pre_running_deadline_seconds - waiting_seconds(situation)
    for pod in situation.live_pods():
        if pod.placed is not None:
            yield situation.settings.start_patience - situation.seconds_since(pod.placed)


def _list_patience_with_kuberay(situation: Situation) -> Iterator[float]:
    rayjob = situation.latest.rayjob
    if rayjob is not None and not rayjob.deployment_status and not rayjob.suspended:
        age = situation.seconds_since(rayjob.meta.created)
        yield situation.settings.kuberay_patience - age


def _list_silence(situation: Situation) -> Iterator[float]:
    rayjob, settings = situation.latest.rayjob, situation.settings
    if rayjob is not None and rayjob.job_status == "RUNNING":
        yield settings.stalled_after - situation.observed.silent_seconds
        yield settings.abandoned_after - situation.observed.silent_seconds
