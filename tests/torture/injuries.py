"""What is done to a job: from outside while it runs, or to the process before it starts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.handlers import RunFolder

_REFUSED = 3
_CLONE_NEWNS, _MS_REC_PRIVATE = 0x00020000, 0x4000 | 0x40000


@dataclass
class Victim:
    """A job under way, or about to be."""

    pid: int
    place: Path
    data: list[Path]
    rng: random.Random
    seconds: float
    """How long the job takes when left alone."""

    @property
    def log(self) -> Path:
        """What the job says; not on the disk that is full."""
        return self.place.parents[1] / "logs" / f"{self.place.parent.name}-{self.place.name}"


@dataclass(frozen=True)
class Injury:
    """One way to come to harm.

    Args:
        before: called in the process of the job, before it starts.
        during: called from outside, at a random moment.
        after: called from outside, when the process has ended; makes the world whole again.
        workers: processes that the job uses.
        fatal: whether nobody is left who could say the reason.
        harmless: whether the job must end well in spite of it.
    """

    before: Callable[[Victim], None] = lambda victim: None
    during: Callable[[Victim], None] = lambda victim: None
    after: Callable[[Victim], None] = lambda victim: None
    workers: int = 0
    fatal: bool = False
    harmless: bool = False


def _signal(number: signal.Signals) -> Callable[[Victim], None]:
    return lambda victim: os.kill(victim.pid, number)


def children(pid: int) -> Iterator[int]:
    """Yield the processes that a process started, and theirs."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, own):
        yield child
        yield from children(child)


def _kill_worker(victim: Victim) -> None:
    deadline = time.monotonic() + 20
    while not (found := [pid for pid in children(victim.pid) if _is_worker(pid)]):
        if time.monotonic() > deadline or not Path(f"/proc/{victim.pid}/status").exists():
            return
        time.sleep(0.005)
    time.sleep(victim.rng.uniform(0, 0.3))
    try:
        os.kill(victim.rng.choice(found), signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_worker(pid: int) -> bool:
    # the servers that watch over shared resources are no workers
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _second_run(victim: Victim) -> None:
    """Start another run in the folder that the job holds; it must be refused and touch nothing."""
    lock, deadline = victim.place / "out" / ".lock", time.monotonic() + 20
    while not (lock.is_file() and f"pid {victim.pid} " in lock.read_text()):
        if time.monotonic() > deadline or not Path(f"/proc/{victim.pid}/status").exists():
            return
        time.sleep(0.005)
    second = os.fork()
    if second == 0:
        try:
            RunFolder(victim.place / "out", resume=False).claim()
        except ValueError:
            os._exit(_REFUSED)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
    if code != _REFUSED and "State:\tZ" not in Path(f"/proc/{victim.pid}/status").read_text():
        raise AssertionError(f"a second run was let into {victim.place}")


def _fill_disk(victim: Victim) -> None:
    """Leave a random little room on the disk, so that some write or other fails half-way."""
    stat = os.statvfs(victim.place)
    room = victim.rng.choice((0, 4_096, 50_000, 400_000))
    # the job writes at the same time, and may take the last of it
    with contextlib.suppress(OSError):
        (victim.place / "ballast").write_bytes(b"\0" * max(0, stat.f_bavail * stat.f_frsize - room))


def _empty_disk(victim: Victim) -> None:
    (victim.place / "ballast").unlink(missing_ok=True)


def _little_memory(victim: Victim) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + victim.rng.randrange(1, 80) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _dead_server(victim: Victim) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"


def _jumping_clock(victim: Victim) -> None:
    """Days forth or back at a random moment, as when a machine finds its time server."""
    true, start = time.time, time.monotonic()
    at, by = victim.rng.uniform(0, victim.seconds), victim.rng.choice((-1, 1)) * victim.rng.uniform(1, 30) * 86_400
    time.time = lambda: true() + by * (time.monotonic() - start > at)


def _delete_data(victim: Victim) -> None:
    file = victim.rng.choice(victim.data)
    file.rename(file.with_name(f"{file.name}.gone"))


def _restore_data(victim: Victim) -> None:
    for file in victim.place.rglob("*.gone"):
        file.rename(file.with_suffix(""))


INJURIES = {
    "SIGKILL": Injury(during=_signal(signal.SIGKILL), fatal=True),
    "SIGTERM": Injury(during=_signal(signal.SIGTERM), fatal=True),
    "disk full": Injury(during=_fill_disk, after=_empty_disk),
    "out of memory": Injury(before=_little_memory),
    "worker killed": Injury(during=_kill_worker, workers=1),
    "MLflow gone": Injury(before=_dead_server, harmless=True),
    "scan deleted": Injury(during=_delete_data, after=_restore_data),
    "clock jump": Injury(before=_jumping_clock, harmless=True),
    "second run": Injury(during=_second_run, harmless=True),
}
APPLIES = {
    "prepare": ("SIGKILL", "SIGTERM", "disk full", "out of memory", "worker killed", "scan deleted", "clock jump"),
    "pretrain": tuple(INJURIES),
    # its data are looked at and cached by threads, and Python waits for ever for one that has no memory to start
    "finetune": tuple(name for name in INJURIES if name != "out of memory"),
    "study": ("SIGKILL", "SIGTERM", "disk full", "clock jump"),
}


def mount_small_disk(folder: Path, megabytes: int) -> bool:
    """Give this process a disk of its own, if the system allows it; it is gone when the process ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return False
    libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
    options = f"size={megabytes}m".encode()
    return bool(libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options) == 0)
