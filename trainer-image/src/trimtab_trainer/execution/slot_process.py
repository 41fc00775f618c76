"""What runs in a process of a slot: one piece of work at a time beside the bench it keeps.

Made by `ray_actors`, which turns it into an actor; it knows nothing of Ray itself. Control calls
come in a thread of their own while work runs.
"""

import socket
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import final

import torch

from trimtab_trainer.errors import PreemptedError
from trimtab_trainer.execution._base import Done, TeamMember, WorkFunction
from trimtab_trainer.execution.failures import FailureTrap
from trimtab_trainer.storage.mirror import fetch_named
from trimtab_trainer.storage.patience import patiently

__all__ = ["SlotProcess"]


@final
class SlotProcess:
    """One process of a slot.

    Args:
        slot: Its number.
        threads: Threads that work computes with unless it says otherwise.
        code_dir: Folder of the user's code, put first on the import path.
    """

    def __init__(self, slot: int, threads: int, code_dir: Path | None) -> None:
        self._slot = slot
        self._threads = threads
        self._code_dir = code_dir
        self._bench: object = None
        self._interrupted: int | None = None
        self._preempted: int | None = None
        if code_dir is not None:
            sys.path.insert(0, str(code_dir.resolve()))

    def choose_address(self, find_host: Callable[[], str]) -> str:
        """Return `host:port` of a port that is free here now.

        Args:
            find_host: Returns the address of this node that other nodes reach.
        """
        host = find_host()
        with socket.create_server((host, 0)) as server:
            return f"{host}:{server.getsockname()[1]}"

    def locate(self, find_machine: Callable[[], str]) -> str:
        """Return on which machine this process is.

        Args:
            find_machine: Returns the name of this one.
        """
        return find_machine()

    def preempt(self, order: int) -> None:
        """Tell the work of this order, where it yields next, that its machine is taken away."""
        self._preempted = order

    def interrupt(self, order: int) -> None:
        """End the work of this order where it yields next; another order is not touched."""
        self._interrupted = order

    def run(
        self,
        order: int,
        make_bench: Callable[[], object],
        work: WorkFunction,
        arguments: dict[str, object],
        *,
        member: TeamMember | None = None,
        address: str = "",
    ) -> Generator[object, None, None]:
        """Do one piece of work; nothing that it raises leaves this process as an exception.

        Args:
            order: Number of the piece of work, for `interrupt`.
            make_bench: Called before the first work, and again if it failed.
            work: The function.
            arguments: Its keyword arguments.
            member: Rank and size, where a team does the work.
            address: Address of the team.

        Yields:
            What the work yields, unless others of the team are heard, and a `Done` as last item.
        """
        value, interrupted = None, False
        if member is not None:
            arguments = {**arguments, "team": replace(member, address=address)}
        with FailureTrap(self._code_dir) as trap:
            # Earlier work in this process may have changed it.
            torch.set_num_threads(self._threads)
            if self._bench is None:
                self._bench = make_bench()
            # What the work reads may have been written by another process, elsewhere.
            yield from patiently(lambda: fetch_named(arguments.values()))
            steps = work(self._bench, **arguments)
            # Ray sends values into a generator that streams, so delegating to the work would
            # fail where the work itself delegates to something that is no generator.
            while self._interrupted != order:
                try:
                    payload = self._go_on(order, steps)
                except StopIteration as end:
                    value = end.value
                    break
                if member is None or member.rank == 0:
                    yield payload
            else:
                steps.close()
                interrupted = True
        yield Done(self._slot, value, trap.failure, interrupted)

    def _go_on(self, order: int, steps: Generator[object, None, object]) -> object:
        if self._preempted != order:
            return next(steps)
        self._preempted = None
        return steps.throw(PreemptedError("the machine that runs the work is being taken away"))
