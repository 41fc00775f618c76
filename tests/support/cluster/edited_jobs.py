"""What must follow from an edit of a job, whatever it is: the oracles of generated edits.

A refusal names the field. What is accepted shows up in a child, makes the job equal to one that was
created so, and goes away without a trace when it is taken back.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.access import Cluster
from cluster.api import ApiRefusedError, Manifest
from cluster.misoperations import Operation, change, rich_spec
from cluster.processes import wait_until
from cluster.watched_job import WatchedJob, make_job
from trimtab_api.labels import OPERATOR
from trimtab_api.validation import parse_job
from trimtab_operator.reconcile.attempts import fingerprint_next

__all__ = ["EditedJobs", "Trial"]

_SECONDS = 40.0
_REFUSALS = frozenset({400, 413, 422})
# An edit of these reaches a driver that runs, but not the size of its Ray cluster.
_SIZED_LATER = frozenset({"parallelTrials", "numTrials", "search"})


@dataclass(slots=True)
class Trial:
    """One operation and how far it came."""

    operation: Operation
    number: int
    spec: Manifest
    edited: WatchedJob | None = None
    fresh: WatchedJob | None = None
    before: Manifest | None = None
    verdict: str = ""
    """Refused, Immutable or Accepted."""
    finding: str = ""


@dataclass(slots=True)
class EditedJobs:
    """Tries operations on jobs of one namespace, some at a time."""

    cluster: Cluster
    namespace: str
    _made: int = 0

    def run(self, operations: Sequence[Operation]) -> list[Trial]:
        """Try operations side by side, each on jobs of its own."""
        trials = [Trial(one, self._count(), change(rich_spec(), one)) for one in operations]
        for trial in trials:
            self._check_words(trial)
        open_trials = [trial for trial in trials if trial.verdict != "Refused"]
        for trial in open_trials:
            trial.fresh = self._create(f"fresh-{trial.number}", trial.spec)
            trial.edited = self._create(f"edited-{trial.number}", rich_spec())
        for trial in open_trials:
            self._edit(trial)
        for trial in open_trials:
            self._compare(trial)
        for trial in open_trials:
            self._revert(trial)
        for trial in open_trials:
            self._check_former(trial)
            self._clear(trial)
        return trials

    def run_sequence(self, operations: Sequence[Operation]) -> Trial:
        """Make edits one after the other, without a pause, and compare the end with a fresh job."""
        number, spec = self._count(), rich_spec()
        job = self._create(f"edited-{number}", spec)
        done: list[Operation] = []
        for operation in operations:
            try:
                following = change(spec, operation)
                self._replace(job, following)
            except (ApiRefusedError, KeyError, IndexError, TypeError):
                continue
            spec = following
            done.append(operation)
        last = done[-1] if done else operations[-1]
        trial = Trial(last, number, spec, edited=job, verdict="Accepted")
        trial.fresh = self._create(f"fresh-{number}", spec)
        self._compare(trial)
        if trial.finding:
            trial.finding += f" after {'; '.join(map(str, done))}"
        self._clear(trial)
        return trial

    def _count(self) -> int:
        self._made += 1
        return self._made

    def _create(self, name: str, spec: Manifest) -> WatchedJob:
        manifest = make_job(self.namespace, name)
        return WatchedJob.create(self.cluster, {**manifest, "spec": spec})

    def _check_words(self, trial: Trial) -> None:
        """Ask the server about the spec of a new job; what it refuses, it must name."""
        manifest = {**make_job(self.namespace, "asked"), "spec": trial.spec}
        try:
            self.cluster.api.create(manifest, dry_run=True)
        except ApiRefusedError as error:
            trial.verdict = "Refused"
            names = [str(step) for step in trial.operation.path if isinstance(step, str)]
            if error.code not in _REFUSALS:
                trial.finding = f"refused with {error.code}: {error.message[:200]}"
            elif not any(name in error.message for name in names[-2:]):
                trial.finding = f"the refusal does not name the field: {error.message[:300]}"

    def _replace(self, job: WatchedJob, spec: Manifest) -> None:
        changes = [{"op": "replace", "path": "/spec", "value": spec}]
        self.cluster.api.patch("OptimizationJob", job.name, changes, job.namespace, patch="json")

    def _edit(self, trial: Trial) -> None:
        job = trial.edited
        if job is None or not self._rests(job):
            trial.finding = f"the job before the edit does not come to rest: {_tell(job)}"
            return
        trial.before = read_state(job)
        try:
            self._replace(job, trial.spec)
        except ApiRefusedError as error:
            trial.verdict = "Immutable"
            if error.code not in _REFUSALS or "immutable" not in error.message:
                trial.finding = f"the edit is refused: {error.code} {error.message[:300]}"
            return
        trial.verdict = "Accepted"

    def _compare(self, trial: Trial) -> None:
        """Look at the fresh job, and whether the edited one becomes like it."""
        fresh, edited = trial.fresh, trial.edited
        if trial.finding or fresh is None or edited is None:
            return
        if not self._rests(fresh):
            trial.finding = f"a fresh job does not come to rest: {_tell(fresh)}"
            return
        lost = _find_lost(fresh)
        if lost:
            trial.finding = f"the spec of the fresh job is not in its child: {lost}"
            return
        if trial.verdict != "Accepted":
            return
        ignored = bool(_SIZED_LATER & set(map(str, trial.operation.path)))
        if not wait_until(lambda: _is_like(edited, fresh, sized=not ignored), _SECONDS):
            trial.finding = f"edited {_tell(edited)} is not as fresh {_tell(fresh)}"

    def _revert(self, trial: Trial) -> None:
        if trial.verdict == "Accepted" and not trial.finding and trial.edited is not None:
            self._replace(trial.edited, rich_spec())

    def _check_former(self, trial: Trial) -> None:
        edited, before = trial.edited, trial.before
        if trial.verdict != "Accepted" or trial.finding or edited is None or before is None:
            return
        if before["ended"] or read_state(edited)["ended"]:
            return  # a job that has ended stays so
        if not wait_until(lambda: read_state(edited) == before, _SECONDS):
            trial.finding = f"after the revert it is {_tell(edited)} and not {before['said']}"

    def _clear(self, trial: Trial) -> None:
        for job in (trial.edited, trial.fresh):
            if (
                job is None
                or self.cluster.api.find("OptimizationJob", job.name, job.namespace) is None
            ):
                continue
            self.cluster.api.delete("OptimizationJob", job.name, job.namespace)

    def _rests(self, job: WatchedJob) -> bool:
        return wait_until(lambda: _is_at_rest(job), _SECONDS)


def read_state(job: WatchedJob) -> Manifest:
    """Return all that a spec decides of a job, without what its history decides."""
    document = job.cluster.api.find("OptimizationJob", job.name, job.namespace)
    if document is None:
        return {"said": {"state": "gone"}, "ended": True}
    status = document.get("status", {})
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    said = {
        kind: f"{conditions[kind]['status']}/{conditions[kind]['reason']}"
        for kind in ("Accepted", "Failed", "Complete", "Suspended")
        if kind in conditions and (kind == "Accepted" or conditions[kind]["status"] == "True")
    }
    scheduled = conditions.get("Scheduled", {}).get("reason")
    if scheduled == "PodsRefused":
        said["Scheduled"] = scheduled
    rayjob = job.rayjob(int(status["attempt"])) if status.get("attempt") else None
    state: Manifest = {
        "said": {"state": status.get("state"), **said},
        "ended": "Failed" in said or "Complete" in said,
        "generation": status.get("observedGeneration") == document["metadata"]["generation"],
    }
    if rayjob is not None:
        state["rayjob"] = _anonymize(rayjob["spec"], job, int(status["attempt"]))
        state["next"] = _read_stored(job, int(status["attempt"]))
    return state


def _is_at_rest(job: WatchedJob) -> bool:
    if job.read()["spec"]["managedBy"] != OPERATOR:
        return True
    state = read_state(job)
    if not state.get("generation"):
        return bool(state["said"]["state"] == "gone")
    said = state["said"]
    is_waiting = (
        not said["Accepted"].startswith("True") or "Scheduled" in said or "Suspended" in said
    )
    return bool("rayjob" in state or is_waiting or state["ended"])


def _is_like(edited: WatchedJob, fresh: WatchedJob, *, sized: bool) -> bool:
    one, other = read_state(edited), read_state(fresh)
    if other["said"].get("Accepted", "").startswith("False"):
        # What runs goes on while its manifest is invalid; a new job never starts.
        return bool(one["said"].get("Accepted") == other["said"]["Accepted"])
    if not sized:
        one, other = _without_sizes(one), _without_sizes(other)
    return one == other


def _without_sizes(state: Any) -> Any:
    if isinstance(state, dict):
        dropped = {"replicas", "minReplicas", "maxReplicas"}
        return {key: _without_sizes(value) for key, value in state.items() if key not in dropped}
    return [_without_sizes(entry) for entry in state] if isinstance(state, list) else state


def _read_stored(job: WatchedJob, attempt: int) -> str:
    """Return the fingerprint of the fields that a new attempt takes over, as its pods see them."""
    config = job.cluster.api.find("ConfigMap", f"{job.name}-a{attempt}", job.namespace)
    if config is None:
        return ""
    return fingerprint_next(parse_job(json.loads(config["data"]["job.json"])).spec)


def _find_lost(job: WatchedJob) -> str:
    """Return what of a spec is not in the manifest that the pods of its first attempt get."""
    config = job.cluster.api.find("ConfigMap", f"{job.name}-a1", job.namespace)
    if config is None:
        return ""
    wanted, found = job.read()["spec"], json.loads(config["data"]["job.json"])["spec"]
    return "; ".join(_differences(wanted, found, "spec"))


def _differences(wanted: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted.keys() | found.keys():
            yield from _differences(wanted.get(key), found.get(key), f"{path}.{key}")
    elif wanted != found:
        yield f"{path} is {found!r} and not {wanted!r}"


def _anonymize(spec: Manifest, job: WatchedJob, attempt: int) -> Manifest:
    """Return the spec of a RayJob without the names of the job, its uid and the attempt."""
    uid = job.read()["metadata"]["uid"]
    plain = _without_attempt(copy.deepcopy(spec))
    text = json.dumps(plain, sort_keys=True)
    text = text.replace(f"{job.name}-a{attempt}", "ATTEMPT").replace(job.name, "JOB")
    anonymous: Manifest = json.loads(text.replace(uid, "UID"))
    return anonymous


def _without_attempt(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_attempt(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if value.get("name") == "TRIMTAB_ATTEMPT":
        return {"name": "TRIMTAB_ATTEMPT"}
    kept = {key: entry for key, entry in value.items() if key != "trimtab.dev/attempt"}
    return {key: _without_attempt(entry) for key, entry in kept.items()}


def _tell(job: WatchedJob | None) -> str:
    return "nothing" if job is None else json.dumps(read_state(job)["said"])
