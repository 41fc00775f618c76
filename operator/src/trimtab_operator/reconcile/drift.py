"""Whether an object is still as it should be.

Called by `keeping` for each child. Who may change it back is left to server-side apply.
"""

from collections.abc import Mapping

__all__ = ["is_covered"]


def is_covered(wanted: object, found: object) -> bool:
    """Return whether everything that is wanted is found; what others added does not matter.

    Mappings may hold more, lists must have the same length: the API server fills in defaults
    inside of entries, and adds none.
    """
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            key in found and is_covered(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(is_covered(*pair) for pair in zip(wanted, found, strict=True))
        )
    return wanted == found
