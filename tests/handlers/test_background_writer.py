import logging
import sys
import threading
import time

import pytest

from monai_ssl.handlers.background_writer import BackgroundWriter


def writer(target, **options):
    return BackgroundWriter(lambda: target, "the record", lambda e: isinstance(e, KeyError), **options)


def test_calls_are_made_in_order_by_another_thread():
    done = []
    w = writer(done)
    for i in range(100):
        w.put(lambda target, i=i: target.append((i, threading.current_thread() is threading.main_thread())))
    assert w.flush(10) and done == [(i, False) for i in range(100)] and w.waiting == 0


def test_a_failing_call_is_repeated_and_said_once(caplog):
    done, failures = [], [OSError("down"), OSError("still down")]

    def call(target):
        if failures:
            raise failures.pop()
        target.append(1)

    w = writer(done, longest_pause=0.05)
    w.put(call)
    w.put(lambda target: target.append(2))
    deadline = time.monotonic() + 20
    while not w.flush(5) and time.monotonic() < deadline:
        pass
    assert done == [1, 2]
    assert sum("cannot be written" in r.getMessage() for r in caplog.records) == 1


def test_where_no_thread_can_start_the_training_goes_on(monkeypatch, caplog):
    def none(*args):
        raise RuntimeError("can't start new thread")

    done = []
    w = writer(done)
    with monkeypatch.context() as without:
        without.setattr("_thread.start_new_thread", none)
        w.put(lambda target: target.append(1))
        w.put(lambda target: target.append(2))
        assert not w.flush(60) and done == []
    assert "can't start new thread" in caplog.text
    assert w.flush(60) and done == [1, 2]


def test_another_thread_takes_over_from_one_that_died(monkeypatch):
    ended, done, trouble = threading.Event(), [], [MemoryError(), MemoryError()]
    monkeypatch.setattr(sys, "unraisablehook", lambda args: ended.set())

    def call(target):
        if trouble:
            raise trouble.pop()
        target.append(1)

    def hopeless(error):
        if trouble:
            raise trouble.pop()
        return False

    w = BackgroundWriter(lambda: done, "the record", hopeless)
    w.put(call)
    assert ended.wait(60)
    w.put(lambda target: target.append(2))
    assert w.flush(60) and done == [1, 2] and w.waiting == 0


def test_a_thread_that_died_without_a_word_is_replaced(monkeypatch):
    monkeypatch.setattr("monai_ssl.handlers.background_writer._START_SECONDS", 0.0)
    done = []
    w = writer(done)
    with monkeypatch.context() as without:
        without.setattr(BackgroundWriter, "_make_all", lambda self: None)
        w.put(lambda target: target.append(1))
        assert not w.flush(60)
    assert w.flush(60) and done == [1]


def test_a_refused_call_is_left_out(caplog):
    done = []

    def refused(target):
        raise KeyError("no such run")

    w = writer(done)
    w.put(refused)
    w.put(lambda target: target.append(2))
    with caplog.at_level(logging.WARNING):
        assert w.flush(10)
    assert done == [2] and "refused a record" in caplog.text


def test_the_oldest_expendable_call_goes_when_the_queue_is_full():
    done, gate = [], threading.Event()
    w = writer(done, capacity=4)
    w.put(lambda target: gate.wait())
    while w.waiting > 1 or not w._busy:
        time.sleep(0.001)
    w.put(lambda target: target.append("params"))
    for i in range(6):
        w.put(lambda target, i=i: target.append(i), expendable=True)
    assert w.dropped == 3
    gate.set()
    assert w.flush(10) and done == ["params", 3, 4, 5]


def test_flush_gives_up_after_its_time():
    gate = threading.Event()
    w = writer(None)
    w.put(lambda target: gate.wait())
    start = time.monotonic()
    assert not w.flush(0.2)
    assert 0.2 <= time.monotonic() - start < 5
    gate.set()
    assert w.flush(10)


def test_the_thread_ends_when_idle_and_starts_again(monkeypatch):
    monkeypatch.setattr("monai_ssl.handlers.background_writer._IDLE_SECONDS", 0.01)
    done = []
    w = writer(done)
    for i in range(3):
        w.put(lambda target, i=i: target.append(i))
        assert w.flush(10)
        deadline = time.monotonic() + 10
        while w._running and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not w._running
    assert done == [0, 1, 2]


@pytest.mark.parametrize("fails", [1, 3])
def test_connecting_is_repeated_too(fails):
    tries = []

    def connect():
        tries.append(1)
        if len(tries) <= fails:
            raise OSError("down")
        return "target"

    w = BackgroundWriter(connect, "the record", lambda e: False, longest_pause=0.02)
    seen = []
    w.put(seen.append)
    deadline = time.monotonic() + 20
    while not w.flush(5) and time.monotonic() < deadline:
        pass
    assert seen == ["target"] and len(tries) == fails + 1
