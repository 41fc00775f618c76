"""A claim that is there is asked for now and then, one that is not each time."""

import asyncio

from fake_cluster import open_client, serve_cluster
from trimtab_operator.cluster.claims import ClaimBook
from trimtab_operator.cluster.kinds import CLAIM


def test_f33_a_claim_is_found_as_soon_as_it_is_made_and_missed_once_it_is_gone() -> None:
    async def scenario() -> None:
        seconds = 0.0
        async with serve_cluster() as cluster, open_client(cluster) as client:
            book = ClaimBook(client, keep_seconds=30.0, monotonic=lambda: seconds)
            assert not await book.exists("team", "data")
            cluster.add(CLAIM, {"metadata": {"name": "data", "namespace": "team"}})
            assert await book.exists("team", "data")
            assert await book.exists("team", "data")
            assert len(cluster.calls) == 2
            cluster.objects.clear()
            seconds = 31.0
            assert not await book.exists("team", "data")

    asyncio.run(scenario())
