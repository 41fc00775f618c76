"""Where work runs.

Ray reads its authentication settings when it is imported, so they are set here, before any module
of this package can import it: a token of this process alone keeps other users of the machine out
of the local cluster and writes no file.
"""

import os
import secrets

__all__: list[str] = []

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
