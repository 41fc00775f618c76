"""Where work runs.

Ray reads some settings when it is imported, so they are set here, before any module of this
package can import it. A token of this process alone keeps other users of the machine out of the
local cluster and writes no file. Ray's own lines on the standard output say nothing that an event
of the executor does not say, and would tear the progress of the command line apart.
"""

import os
import secrets

__all__: list[str] = []

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
# Lines that match are not printed; a dot is in each of them.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
