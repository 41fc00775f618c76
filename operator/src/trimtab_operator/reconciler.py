"""One pass over one job: observe, plan, apply, say how it is. The only place where these meet.

Called by the work queue. The watches' cache is good enough to see that there is nothing to do; what
a plan would touch is read anew, and planned again, before anything is written.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trimtab_api.events import EventReason
from trimtab_api.v1alpha1.job import KIND
from trimtab_api.v1alpha1.status import Status
from trimtab_operator.cluster.apply import Applier, describe_problem
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
)
from trimtab_operator.cluster.kinds import EVENT, OPTIMIZATION_JOB
from trimtab_operator.cluster.observe import Observer, Sighting
from trimtab_operator.reconcile.actions import Action, Apply, Delete, DeleteJob, PostEvent
from trimtab_operator.reconcile.figures import summarize_margins
from trimtab_operator.reconcile.observed import Observed
from trimtab_operator.reconcile.plan import plan
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.status import next_status
from trimtab_operator.reconcile.verdict import Phase, Plan, Problem, Refusal
from trimtab_operator.telemetry.events import Event, EventLimiter, JobReference, build_event
from trimtab_operator.telemetry.job_series import JobFacts, build_page
from trimtab_operator.telemetry.logs import bind_job, get_logger
from trimtab_operator.telemetry.metrics import JobBoard

__all__ = ["Pace", "Reconciler"]

logger = get_logger(__name__)

# What a second look shows may call for more; a third look is the last before a later pass.
_MOST_LOOKS = 3
# What a pass wrote to children causes no event of its own; most often KubeRay's comes first.
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a job may be written to, in seconds.

    Attributes:
        status: Between two statuses in which only figures differ.
        event: Between two events of one reason.
    """

    status: float = 15.0
    event: float = 300.0


@dataclass(slots=True)
class _Memory:
    """What is remembered of a job between passes; losing it costs one write more."""

    uid: str
    status_written: float = float("-inf")
    reported_events: dict[int, int] = field(default_factory=dict)


class Reconciler:
    """Runs passes. One for the whole process; no two passes of one job at the same time."""

    def __init__(
        self,
        client: Client,
        cache: WatchCache,
        observer: Observer,
        *,
        settings: PlanSettings,
        pace: Pace,
        board: JobBoard,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._observer = observer
        self._applier = Applier(client, cache)
        self._cache = cache
        self._settings = settings
        self._pace = pace
        self._board = board
        self._monotonic = monotonic
        self._limiter = EventLimiter(pace.event)
        self._memory: dict[JobKey, _Memory] = {}

    async def reconcile(self, key: JobKey) -> float | None:
        """Bring a job one step further.

        Returns:
            Seconds until the next pass is due without any event; None where only an event can
            change anything.

        Raises:
            ClusterError: Where the API server did not do its part; the pass is to be repeated.
        """
        sighting = await self._observer.observe(key)
        if sighting is None:
            self._forget(key)
            return None
        planned = plan(sighting.observed, self._settings)
        looked: frozenset[tuple[str, str]] = frozenset()
        for _ in range(_MOST_LOOKS):
            touched = _touched_by(planned.actions)
            if sighting.forbidden or not touched or (looked and touched <= looked):
                break
            looked |= touched
            sighting = await self._observer.observe_anew(key, looked)
            if sighting is None:
                self._forget(key)
                return None
            planned = plan(sighting.observed, self._settings)
        with bind_job(
            namespace=key.namespace, job=key.name, attempt=planned.verdict.attempt or None
        ):
            return await self._carry_out(key, sighting, planned)

    async def _carry_out(self, key: JobKey, sighting: Sighting, planned: Plan) -> float | None:
        failure: ClusterError | None = None
        obstacle: Problem | Refusal | None = None
        has_changed = False
        try:
            has_changed = await self._apply(key, sighting, planned)
        except (ConflictError, ForbiddenError, InvalidObjectError) as error:
            failure, obstacle = error, describe_problem(error)
            if obstacle is None:
                raise
        memory = self._recall(key, sighting.observed.job.meta.uid)
        status = next_status(sighting.observed, planned, self._settings, obstacle)
        self._show(sighting.observed, status)
        waiting = await self._publish_status(memory, sighting.observed, status)
        news = _news_of_plan(planned.actions) if obstacle is None else [_news_of(obstacle)]
        await self._post_events(memory, sighting, news)
        if failure is not None:
            # The status says what a person must mend; the queue tries again by itself.
            raise failure
        settling = _SETTLE_SECONDS if has_changed else None
        delays = (planned.requeue_after, waiting, settling)
        return min((delay for delay in delays if delay is not None), default=None)

    async def _apply(self, key: JobKey, sighting: Sighting, planned: Plan) -> bool:
        if sighting.forbidden is not None and planned.verdict.phase is not Phase.IGNORED:
            raise sighting.forbidden
        return await self._applier.apply(key, planned.actions, sighting.uids)

    def _show(self, observed: Observed, status: Status | None) -> None:
        """Export what is known now; a fault there is no reason to stop a job."""
        try:
            self._board.show(build_page(self._gather_facts(observed, status)))
        except Exception:
            logger.exception("the metrics of the job are not exported")

    def _gather_facts(self, observed: Observed, status: Status | None) -> JobFacts:
        job, report = observed.job.job, observed.report.progress
        known = status or observed.job.previous or Status()
        # A driver that told its end says no more, while targets elsewhere are still measured.
        has_driver = report is not None and report.outcome is None
        is_silent = not has_driver or known.completion_time is not None
        return JobFacts(
            namespace=observed.job.namespace,
            name=observed.job.meta.name,
            status=known,
            spec=job.spec if job else None,
            report=report,
            margins=summarize_margins(job.spec, observed.report) if job else (),
            reported_at=None if is_silent else self._monotonic() - observed.silent_seconds,
        )

    async def _publish_status(
        self, memory: _Memory, observed: Observed, status: Status | None
    ) -> float | None:
        """Write the status if it is due, and return how long it must wait otherwise."""
        if status is None or status == observed.job.previous:
            return None
        now = self._monotonic()
        due = memory.status_written + self._pace.status
        if now < due and not _is_urgent(status, observed.job.previous):
            return due - now
        key = JobKey(observed.job.namespace, observed.job.meta.name)
        try:
            written = await self._client.replace_status(
                OPTIMIZATION_JOB,
                *key,
                # What was computed from an old version must not replace what came after it.
                resource_version=observed.job.meta.resource_version,
                status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
            )
        except NotFoundError:
            return None  # it was deleted meanwhile
        except ConflictError:
            return await self._catch_up(key)
        self._cache.put(OPTIMIZATION_JOB, written, is_written=True)
        memory.status_written = self._monotonic()
        return None

    async def _catch_up(self, key: JobKey) -> float | None:
        """Read a job that has changed since it was seen, and return when its next pass is due."""
        try:
            document = await self._client.read(OPTIMIZATION_JOB, key.namespace, key.name)
        except NotFoundError:
            return None
        self._cache.put(OPTIMIZATION_JOB, document)
        return 0.0

    async def _post_events(
        self, memory: _Memory, sighting: Sighting, actions: Iterable[PostEvent]
    ) -> None:
        observed = sighting.observed
        slot = int(observed.now.timestamp() // self._pace.event)
        news = [Event(action.reason, action.message, key=str(slot)) for action in actions]
        if sighting.stale is not None:
            news.append(Event(EventReason.REPORT_STALE, sighting.stale, key=str(slot)))
        job = JobReference(observed.job.namespace, observed.job.meta.name, observed.job.meta.uid)
        for event in (*news, *_news_of_report(memory, observed)):
            if self._limiter.admit(job.uid, event.reason, self._monotonic()):
                await self._post(job, event)

    async def _post(self, job: JobReference, event: Event) -> None:
        logger.info("event", reason=str(event.reason), message=event.message)
        manifest = build_event(job, event, now=self._client.clock.now())
        try:
            await self._client.create(EVENT, job.namespace, manifest)
        except ConflictError:
            return  # posted before a restart, or by the operator before this one
        except ClusterError as error:
            # An event is a courtesy; the conditions hold the truth.
            logger.warning("the event was not posted", error=str(error))

    def _recall(self, key: JobKey, uid: str) -> _Memory:
        """Return the memory of a job; one that was made anew under the name has none."""
        memory = self._memory.get(key)
        if memory is not None and memory.uid != uid:
            self._limiter.forget(memory.uid)
            memory = None
        if memory is None:
            memory = self._memory[key] = _Memory(uid)
        return memory

    def _forget(self, key: JobKey) -> None:
        self._observer.forget(key)
        self._board.drop(*key)
        memory = self._memory.pop(key, None)
        if memory is not None:
            self._limiter.forget(memory.uid)


def _news_of_plan(actions: Iterable[Action]) -> list[PostEvent]:
    return [action for action in actions if isinstance(action, PostEvent)]


def _news_of(obstacle: Problem | Refusal) -> PostEvent:
    """The plan was cut short: what it would have told did not happen."""
    if isinstance(obstacle, Refusal):
        return PostEvent(EventReason.INVALID_SPEC, obstacle.message)
    return PostEvent(EventReason.DEGRADED, f"{obstacle.reason}: {obstacle.message}")


def _news_of_report(memory: _Memory, observed: Observed) -> list[Event]:
    report = observed.report.progress
    if report is None:
        return []
    last = memory.reported_events.get(report.attempt, -1)
    news = [event for event in report.events if event.id > last]
    if news:
        memory.reported_events[report.attempt] = max(event.id for event in news)
    return [
        Event(event.reason, event.message, key=f"{report.attempt}/{event.id}") for event in news
    ]


def _touched_by(actions: Iterable[Action]) -> frozenset[tuple[str, str]]:
    touched = set()
    for action in actions:
        match action:
            case Apply(manifest):
                touched.add((str(manifest["kind"]), str(manifest["metadata"]["name"])))
            case Delete():
                touched.add((str(action.kind), action.name))
            case DeleteJob():
                touched.add((KIND, action.name))
            case PostEvent():
                pass
    return frozenset(touched)


def _is_urgent(status: Status, previous: Status | None) -> bool:
    """Return whether more than figures changed."""
    if previous is None:
        return True
    return (status.state, status.stage, status.attempt) != (
        previous.state,
        previous.stage,
        previous.attempt,
    ) or [(c.type, c.status, c.reason) for c in status.conditions] != [
        (c.type, c.status, c.reason) for c in previous.conditions
    ]
