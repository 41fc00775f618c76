"""Start of the operator: `python -m trimtab_operator`, configured by its environment."""

import asyncio
import os
import sys

from trimtab_operator.cluster.errors import ClusterError
from trimtab_operator.handlers.assembly import run
from trimtab_operator.settings import SettingsError, read_settings
from trimtab_operator.telemetry.logs import get_logger, set_up_logs

__all__ = ["main"]


def main() -> int:
    """Run the operator until it is told to stop.

    Returns:
        The exit status: 0 after a signal, 1 where it cannot go on, 2 for bad settings.
    """
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
