"""A folder is that of one run: who comes second is refused, and what an earlier run left is moved as a whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ignite.engine import Engine

from monai_ssl.handlers import RunFolder, Tracking
from monai_ssl.handlers.failure import at_failure
from monai_ssl.process_lock import acquire, release

RESULTS = ("checkpoint.pt", "best.pt", "model.pt", "encoder.safetensors", "encoder.safetensors.card.json", "model.json")
SHARED = ("mlruns.db", "words.json", "store/manifest.json", "notes of mine.txt")


@pytest.fixture
def used(tmp_path):
    for name in (*RESULTS, "shards-1/part.safetensors", "pictures/epoch_0001.png", "mlflow_run.txt", *SHARED):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def begin(*args):
    engine = Engine(lambda *_: None)
    RunFolder(*args).attach(engine)
    engine.run([0])


def test_all_results_of_an_earlier_run_are_moved_and_nothing_else(used, caplog):
    before = files(used)
    begin(used)
    (kept,) = (used / "earlier").iterdir()
    assert files(kept) == {name: text for name, text in before.items() if name not in SHARED}
    assert {name for name in files(used) if not name.startswith("earlier")} == {*SHARED, ".lock"}
    assert "`--resume true` would have continued it" in caplog.text
    begin(used)
    assert len(list((used / "earlier").iterdir())) == 1, "there was nothing to move"


@pytest.mark.parametrize("resume", [True, "best.pt"])
def test_what_is_continued_stays(used, resume):
    before = files(used)
    begin(used, resume if resume is True else used / resume)
    assert files(used) == {**before, ".lock": files(used)[".lock"]}


def test_a_checkpoint_from_elsewhere_begins_a_run_of_its_own(used, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "checkpoint.pt"
    other.touch()
    begin(used, other)
    assert not (used / "checkpoint.pt").exists() and not (used / "best.pt").exists()


def test_without_a_checkpoint_there_is_nothing_to_continue(used):
    (used / "checkpoint.pt").unlink()
    begin(used, True)
    assert not (used / "model.pt").exists()


def test_a_second_process_is_refused_and_sweeps_nothing(tmp_path):
    code = "import sys; from monai_ssl.handlers import RunFolder; RunFolder(sys.argv[1]).claim()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    half = tmp_path / ".aside-1-checkpoint.pt"
    folder = RunFolder(tmp_path)
    folder.claim()
    half.write_text("half")
    (tmp_path / "best.pt").touch()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    second = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert second.returncode == 1 and f"Another run (pid {os.getpid()} on " in second.stderr
    assert half.exists() and (tmp_path / "best.pt").exists()
    folder.free()
    subprocess.run(command, check=True, env=environment)
    assert not half.exists() and not (tmp_path / "best.pt").exists()


def test_a_forked_worker_does_not_keep_the_lock_of_its_parent(tmp_path):
    lock, (read, write), (alive, born) = tmp_path / "lock", os.pipe(), os.pipe()
    acquire(lock, "held by {holder}")
    worker = os.fork()
    if worker == 0:
        os.write(born, b"x")
        os.read(read, 1)
        os._exit(0)
    os.read(alive, 1)
    release(lock)
    try:
        acquire(lock, "held by {holder}")
    finally:
        # a worker that waits for ever would outlive a test that fails
        os.write(write, b"x")
        status = os.waitpid(worker, 0)[1]
    assert status == 0
    release(lock)


def test_a_run_that_ends_by_an_exception_frees_the_folder_and_is_recorded(tmp_path):
    """In the same process, as in a notebook; whoever comes after the folder is told, too."""
    ended = []
    engine = Engine(lambda engine, batch: 1 / batch)
    RunFolder(tmp_path).attach(engine)
    at_failure(engine, ended.append)
    with pytest.raises(ZeroDivisionError):
        engine.run([0])
    acquire(tmp_path / ".lock", "held by {holder}")
    release(tmp_path / ".lock")
    assert [type(error) for error in ended] == [ZeroDivisionError]


def test_a_run_that_is_refused_does_not_mark_the_other_as_failed(tmp_path):
    ended = []
    engine = Engine(lambda engine, batch: None)
    RunFolder(tmp_path).attach(engine)
    tracking = Tracking(tmp_path)
    tracking._put = ended.append
    tracking.attach(engine)
    acquire(tmp_path / ".lock", "held by {holder}")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="Another run"):
        patch.setattr("monai_ssl.handlers.run_folder.release", lambda path: None)
        engine.run([0])
    release(tmp_path / ".lock")
    assert ended == []
