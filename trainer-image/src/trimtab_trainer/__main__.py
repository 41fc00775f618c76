"""What the pods of a job start: `drive` on the head of its cluster, `measure TARGET` on a node.

Both find out by themselves for whom; people use the command line `trimtab` instead.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from trimtab_api.progress import Outcome, OutcomeResult
from trimtab_api.texts import shorten
from trimtab_trainer.cluster_pod import PodSettings, read_job, read_settings
from trimtab_trainer.cluster_run import drive
from trimtab_trainer.errors import EnvironmentMissingError, TrainerError, UserError
from trimtab_trainer.reporting.config_map import ApiRefusedError, ConfigMap, find_api_server
from trimtab_trainer.reporting.kubernetes import KubernetesReporter
from trimtab_trainer.reporting.progress_view import Identity, ProgressView
from trimtab_trainer.target_run import measure_target, report_target

_LOG = logging.getLogger(__name__)

_DONE = 0
_FAILED = 4
_ENVIRONMENT_MISSING = 5


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m trimtab_trainer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("drive", help="run an attempt on this Ray cluster")
    commands.add_parser("measure", help="time the files of an attempt here").add_argument("target")
    wanted = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        settings = read_settings()
        report = ConfigMap(find_api_server(), namespace=settings.namespace, name=settings.report)
        if wanted.command == "drive":
            return _drive(settings, report)
        return _measure(settings, report, wanted.target)
    except (EnvironmentMissingError, ApiRefusedError) as error:
        _LOG.critical("%s", error)
        return _ENVIRONMENT_MISSING


def _drive(settings: PodSettings, report: ConfigMap) -> int:
    identity = Identity(settings.uid, settings.attempt)
    try:
        job = read_job()
    except UserError as error:
        reporter = KubernetesReporter(
            ProgressView(identity, None), attempt=settings.attempt, send=report.patch
        )
        reporter.end(
            Outcome(result=OutcomeResult.FAILED, reason=error.reason, message=shorten(str(error)))
        )
        return _FAILED
    reporter = KubernetesReporter(
        ProgressView(identity, job.spec), attempt=settings.attempt, send=report.patch
    )
    return drive(job, settings, reporter)


def _measure(settings: PodSettings, report: ConfigMap, target: str) -> int:
    try:
        storage = settings.place.open()
        storage.attach()
        root = storage.join_attempt(settings.attempt)
        result = measure_target(root, target, uid=settings.uid, attempt=settings.attempt)
    except (TrainerError, OSError) as error:
        _LOG.critical("target %s has no figures: %s", target, error)
        return _FAILED
    return _DONE if report_target(target, result, report.patch) else _FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
