"""The data plane: six stages from a manifest to a measured model.

ONNX Runtime reports its use when it is imported, and keeps an identifier in the home folder, unless
the environment says otherwise by then; so it is said here, before any module can import it. Every
process that is started from here inherits it.
"""

import os

__all__: list[str] = []

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
