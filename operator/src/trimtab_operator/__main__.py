"""Start of the operator: `python -m trimtab_operator`, configured by its environment.

`python -m trimtab_operator check NAMESPACE/DEPLOYMENT` looks instead whether an installation works.
"""

import argparse
import asyncio
import os
import sys

from trimtab_operator.cluster.errors import ClusterError
from trimtab_operator.handlers.assembly import list_faults, run
from trimtab_operator.settings import SettingsError, read_settings
from trimtab_operator.telemetry.logs import get_logger, set_up_logs

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the operator until it is told to stop, or check an installation.

    Args:
        arguments: Of the command line; None takes those of the process.

    Returns:
        The exit status: 0 after a signal, 1 where it cannot go on, 2 for bad settings. Of a check:
        0 where all is well, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="trimtab_operator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    check = commands.add_parser("check", help="look whether an installation works")
    check.add_argument("deployment", help="the operator's Deployment, as NAMESPACE/NAME")
    given = parser.parse_args(arguments)
    return _run() if given.command is None else _check(given.deployment)


def _check(deployment: str) -> int:
    namespace, _, name = deployment.rpartition("/")
    try:
        faults = asyncio.run(list_faults(namespace, name))
    except ClusterError as error:
        faults = [str(error)]
    for fault in faults:
        sys.stderr.write(f"failed: {fault}\n")
    if not faults:
        sys.stdout.write("the definition is served and the operator is available\n")
    return 1 if faults else 0


def _run() -> int:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    set_up_logs(settings.log_level)
    logger = get_logger(__name__)
    try:
        asyncio.run(run(settings))
    except ClusterError as error:
        logger.critical("the operator cannot start", error=str(error))
        return 1
    except Exception:
        # Kubernetes starts it anew, which is right for what kopf calls fatal.
        logger.exception("the operator ends")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
