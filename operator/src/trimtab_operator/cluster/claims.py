"""Which claims exist: asked one by one, for the operator watches none.

Called by `observe`. A claim that was there is believed to be there for a while; one that was not is
asked for at each pass, so that a job goes on soon after it was made.
"""

import time
from collections.abc import Callable

from trimtab_operator.cluster.client import Client
from trimtab_operator.cluster.errors import NotFoundError
from trimtab_operator.cluster.kinds import CLAIM

__all__ = ["ClaimBook"]


class ClaimBook:
    """Remembers claims that were found."""

    def __init__(
        self,
        client: Client,
        *,
        keep_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._keep = keep_seconds
        self._monotonic = monotonic
        self._found: dict[tuple[str, str], float] = {}

    async def exists(self, namespace: str, name: str) -> bool:
        """Return whether a claim is there.

        Raises:
            ClusterError: Where it could not be looked up.
        """
        key = (namespace, name)
        found = self._found.get(key)
        if found is not None and self._monotonic() - found < self._keep:
            return True
        self._found.pop(key, None)
        try:
            await self._client.read(CLAIM, namespace, name)
        except NotFoundError:
            return False
        self._found[key] = self._monotonic()
        return True
