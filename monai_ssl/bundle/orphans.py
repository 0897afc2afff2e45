"""End of a process whose ``torchrun`` is gone: it would hold its GPU and the folder of the run unknown to all."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def end_with_torchrun(every: float = 2.0) -> None:
    """Under ``torchrun``, end this process when the agent that started it has ended, as by ``kill -9``.

    The system leaves children of a killed process running. A thread looks, since the process may be waiting for
    others of the job. On Windows, where a process keeps the number of its parent, nothing is noticed.

    Args:
        every: seconds between two looks.

    >>> end_with_torchrun()  # nothing to do where ``torchrun`` did not start the process
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        threading.Thread(target=_watch, args=(os.getppid(), every), name="torchrun", daemon=True).start()


def _watch(agent: int, every: float) -> None:
    while os.getppid() == agent:
        time.sleep(every)
    said = f"torchrun of this machine (process {agent}) has ended, so this process ends, too"
    print(f"\nerror: {said}; `--resume true` continues the run.", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


__all__ = ["end_with_torchrun"]
