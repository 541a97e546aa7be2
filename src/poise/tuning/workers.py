"""Several workers on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from poise.errors import StudyError

__all__ = ["run_workers"]


def run_workers(command: Sequence[str], count: int, say: Callable[[str], None]) -> None:
    """Run a command in several processes at the same time, and wait for all; who asks this one to leave asks all.

    Args:
        command: arguments of ``poise``.
        count: how many.
        say: called when one ends before its time.

    Raises:
        StudyError: when none of them came to its end.
    """
    threads = max(1, (os.cpu_count() or 1) // count)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    workers = [subprocess.Popen([sys.executable, "-m", "poise", *command], env=environment) for _ in range(count)]
    with _passing_on(workers):
        codes = [worker.wait() for worker in workers]
    for index, code in enumerate(codes, 1):
        if code:
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended with an error"
            say(f"Warning: worker {index} of {count} {how}")
    if all(codes):
        raise StudyError("no worker came to its end; what they said is above, and the same command goes on")


@contextmanager
def _passing_on(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass SIGTERM on to the workers, and leave Ctrl-C to them: a terminal sends it to all."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for worker in workers:
            worker.send_signal(number)

    before = signal.signal(signal.SIGTERM, pass_on), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
