"""Background thread for calls to a slow or dead service (MLflow), so that training never waits for it."""

from __future__ import annotations

import _thread
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monai_ssl.errors import printable

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0
_LAST_TRY_SECONDS = 0.5
_START_SECONDS = 5.0
"""After which a thread that is not at work has died before it could say so."""


@dataclass
class _Task:
    call: Callable[[Any], None]
    expendable: bool


class BackgroundWriter:
    """Run calls one after the other in a daemon thread; whoever asks for one never waits.

    A call that fails is repeated, after a pause that doubles from 1 s to ``longest_pause``, until it succeeds; the
    first failure is said once, in words. The queue is bounded: when it is full, the oldest expendable call is dropped
    and counted. The thread starts with the first call and ends when it has been idle for a while.

    Args:
        connect: makes the target that calls are given; repeated like a call when it fails.
        name: what is written to, for messages, such as ``"MLflow at http://host:5000"``.
        hopeless: whether an error will come again however often the call is repeated; such a call is dropped.
        capacity: number of calls that may wait.
        longest_pause: seconds between two tries at most.
        instead: makes another target and says its name; it takes over for good when a call fails a second time in a
            row, or once while :meth:`flush` waits, with one warning.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        name: str,
        hopeless: Callable[[Exception], bool],
        *,
        capacity: int = 10_000,
        longest_pause: float = 60.0,
        instead: tuple[Callable[[], Any], str] | None = None,
    ) -> None:
        self.dropped = 0
        self._connect = connect
        self._name = name
        self._hopeless = hopeless
        self._instead = instead
        self._capacity = capacity
        self._longest_pause = longest_pause
        self._queue: deque[_Task] = deque()
        self._running = False
        self._busy = False
        self._failures = 0
        self._warned = False
        self._at_work = threading.Lock()
        self._started = 0.0
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._target: Any = None

    def put(self, call: Callable[[Any], None], *, expendable: bool = False) -> None:
        """Have ``call(target)`` made as soon as possible, after all earlier calls."""
        with self._changed:
            if len(self._queue) >= self._capacity:
                self._drop_oldest()
            self._queue.append(_Task(call, expendable))
            if not self._running:
                self._start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is left to do, for ``timeout`` seconds at most.

        Gives up after half a second, long enough for one last try, while calls are failing and nothing takes over.

        Returns:
            Whether everything has been written.
        """
        start = time.monotonic()
        self._hurry.set()
        try:
            with self._changed:
                if self._queue and not self._running:
                    self._start()
                while self._queue or self._busy:
                    self._replace_dead()
                    waited = time.monotonic() - start
                    if waited >= (_LAST_TRY_SECONDS if self._failures and self._instead is None else timeout):
                        return False
                    self._changed.wait(0.05)
                return True
        finally:
            self._hurry.clear()

    @property
    def waiting(self) -> int:
        """Number of calls that have not been made yet."""
        return len(self._queue) + self._busy

    def _start(self) -> None:
        try:
            # `threading.Thread` waits for ever for one that has no memory to begin
            _thread.start_new_thread(self._work, ())
        except (RuntimeError, MemoryError) as error:  # no more memory or threads: the next call tries again
            self._failures += 1
            self._warn(error)
        else:
            self._running, self._started = True, time.monotonic()

    def _replace_dead(self) -> None:
        """Start another thread where the last one had no memory even to say that it died."""
        if not self._running or time.monotonic() - self._started < _START_SECONDS or self._at_work.locked():
            return
        self.dropped += self._busy
        self._running = self._busy = False
        self._failures += 1
        self._start()

    def _drop_oldest(self) -> None:
        at = next((i for i, task in enumerate(self._queue) if task.expendable), 0)
        del self._queue[at]
        self.dropped += 1

    def _work(self) -> None:
        # freed however this thread ends
        with self._at_work:
            self._make_all()

    def _make_all(self) -> None:
        task = None
        try:
            while (task := self._next()) is not None:
                self._make(task)
        except BaseException:
            # without memory even the care for a failure fails: another thread takes over what is left
            with self._changed:
                if self._busy and task is not None:
                    self._queue.appendleft(task)
                self._running = self._busy = False
                self._failures += 1
                self._changed.notify_all()
            raise

    def _make(self, task: _Task) -> None:
        try:
            if self._target is None:
                self._target = self._connect()
            task.call(self._target)
        except Exception as error:
            self._failed(task, error)
        else:
            self._done()

    def _next(self) -> _Task | None:
        with self._changed:
            if not self._queue:
                self._changed.wait(_IDLE_SECONDS)
            if not self._queue:
                self._running = False
                return None
            self._busy = True
            return self._queue.popleft()

    def _done(self) -> None:
        with self._changed:
            self._busy = False
            self._failures = 0
            self._changed.notify_all()

    def _failed(self, task: _Task, error: Exception) -> None:
        if self._target is not None and self._hopeless(error):
            logger.warning("%s refused a record, which is left out: %s", self._name, _first_line(error))
            self._done()
            return
        takes_over = self._instead is not None and (self._failures > 0 or self._hurry.is_set())
        if takes_over:
            self._take_over(error)
        elif self._instead is None:
            self._warn(error)
        with self._changed:
            self._failures = 0 if takes_over else self._failures + 1
            self._busy = False
            self._queue.appendleft(task)
            self._changed.notify_all()
        if takes_over:
            return
        pause = min(2.0 ** (self._failures - 1), self._longest_pause)
        # while `flush` waits, a few tries fit into its last half second
        if self._hurry.wait(pause):
            time.sleep(0.1)

    def _take_over(self, error: Exception) -> None:
        assert self._instead is not None
        former, (self._connect, self._name) = self._name, self._instead
        self._target = self._instead = None
        logger.warning(
            "%s cannot be written (%s). Training goes on; from here on records go to %s.",
            former,
            _first_line(error),
            self._name,
        )

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "%s cannot be written (%s). Training goes on; records are kept in memory and tried again.",
                self._name,
                _first_line(error),
            )


def _first_line(error: Exception) -> str:
    text = printable(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


__all__ = ["BackgroundWriter"]
