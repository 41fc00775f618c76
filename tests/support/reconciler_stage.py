"""A reconciler on a stage: one job, a stub planner, a small API server, and a clock.

Used by the tests of `reconciler`, which say what the planner decides and look at what is written.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from fake_cluster import FakeCluster, open_client, serve_cluster
from trimtab_api.v1alpha1.conditions import AcceptedReason
from trimtab_api.v1alpha1.status import JobState, Status
from trimtab_operator import reconciler as subject
from trimtab_operator.cluster.cache import JobKey, WatchCache
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.kinds import EVENT, OPTIMIZATION_JOB
from trimtab_operator.cluster.observe import Observer
from trimtab_operator.reconcile.actions import Action, Apply
from trimtab_operator.reconcile.observed import Observed
from trimtab_operator.reconcile.plan_settings import PlanSettings
from trimtab_operator.reconcile.verdict import Acceptance, Phase, Plan, Problem, Refusal, Verdict
from trimtab_operator.reconciler import Pace, Reconciler
from trimtab_operator.resources.child_settings import ChildSettings
from trimtab_operator.telemetry.metrics import JobBoard

__all__ = ["KEY", "SPEC", "Stage", "make_missing", "make_progress_map", "run_on_stage"]

KEY = JobKey("team", "digits")
SPEC = {"model": {"builtin": "mlp"}, "dataset": {"builtin": "digits"}, "stages": {"train": {}}}


def make_progress_map() -> dict[str, Any]:
    labels = {"trimtab.dev/job": "digits", "trimtab.dev/job-uid": "uid-digits"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "digits-progress", "namespace": "team", "labels": labels},
        "data": {"control.json": "{}"},
    }


@dataclass
class Decisions:
    """Stands for the planner: what it is to decide, and what it was shown."""

    decide: Callable[[Observed], tuple[Action, ...]] = lambda _: ()
    say: Callable[[Observed], Status | None] = lambda _: Status(state=JobState.PENDING)
    seen: list[Observed] = field(default_factory=list)
    problems: list[Problem | Refusal | None] = field(default_factory=list)
    requeue_after: float | None = None

    def plan(self, observed: Observed, *_: object) -> Plan:
        self.seen.append(observed)
        verdict = Verdict(
            phase=Phase.STARTING, acceptance=Acceptance(AcceptedReason.SPEC_ACCEPTED), attempt=1
        )
        return Plan(
            actions=self.decide(observed), verdict=verdict, requeue_after=self.requeue_after
        )

    def next_status(self, observed: Observed, *others: object) -> Status | None:
        *_, problem = others
        assert problem is None or isinstance(problem, Problem | Refusal)
        self.problems.append(problem)
        status = self.say(observed)
        return (
            status if problem is None or status is None else Status(message=problem.message[:256])
        )


@dataclass
class Stage:
    """One job, one reconciler, one clock."""

    cluster: FakeCluster
    cache: WatchCache
    decisions: Decisions
    reconciler: Reconciler
    board: JobBoard = field(default_factory=JobBoard)
    seconds: float = 0.0

    async def reconcile(self) -> float | None:
        return await self.reconciler.reconcile(KEY)

    def status(self) -> Any:
        found = self.cluster.find(OPTIMIZATION_JOB, *KEY)
        assert found is not None
        return found.get("status")

    def events(self) -> list[tuple[str, str]]:
        return [
            (stored["reason"], stored["message"])
            for path, stored in self.cluster.objects.items()
            if path.startswith(EVENT.path("team"))
        ]


def run_on_stage(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = Decisions()
    monkeypatch.setattr(subject, "plan", decisions.plan)
    monkeypatch.setattr(subject, "next_status", decisions.next_status)

    async def start() -> None:
        async with serve_cluster() as cluster, open_client(cluster) as client:
            cache, board = WatchCache(), JobBoard()
            stages: list[Stage] = []
            reconciler = Reconciler(
                client,
                cache,
                Observer(client, cache, ClaimBook(client, keep_seconds=30), storage_default=None),
                settings=PlanSettings(children=ChildSettings(image="trainer:1")),
                pace=Pace(status=15.0, event=300.0),
                board=board,
                monotonic=lambda: stages[0].seconds,
            )
            stages.append(Stage(cluster, cache, decisions, reconciler, board))
            document = {"metadata": {"name": "digits", "namespace": "team"}, "spec": SPEC}
            cache.put(OPTIMIZATION_JOB, cluster.add(OPTIMIZATION_JOB, document))
            await scenario(stages[0])

    asyncio.run(start())


def make_missing(observed: Observed) -> tuple[Action, ...]:
    return () if observed.objects else (Apply(make_progress_map()),)
