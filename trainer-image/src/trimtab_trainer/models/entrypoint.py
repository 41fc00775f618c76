"""A network from the user's code: the entry point is called with the manifest's arguments.

Called by the catalog for `model.entrypoint`. What the network makes of the data is checked by
the preflight.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from trimtab_trainer.data.user_code import blame_user_code, import_entrypoint
from trimtab_trainer.errors import UserError

__all__ = ["build_from_entrypoint", "import_entrypoint"]


def build_from_entrypoint(
    reference: str, *, args: Mapping[str, Any], code_dir: Path | None
) -> nn.Module:
    """Call `module:attr` and return the network that it builds.

    Raises:
        UserError: The entry point is missing, raises, or returns no torch.nn.Module.
    """
    what = f"model.entrypoint {reference}"
    function = import_entrypoint(reference, code_dir)
    if not callable(function):
        raise UserError(f"{what} must be callable but is {type(function).__name__}")
    with blame_user_code(what, code_dir):
        network = function(**args)
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{what} must return a torch.nn.Module but returned {type(network).__name__}"
        )
    return network
