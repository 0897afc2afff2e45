"""The command line: exit codes, sentences instead of stack traces, JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest
from files import nifti

from monai_ssl.cli import main
from monai_ssl.cli.prepare import parse_spacing
from monai_ssl.samples import cohort as samples_module
from monai_ssl.store import Store


@pytest.fixture
def src(tmp_path):
    array = np.random.default_rng(0).integers(-1000, 1000, (8, 9, 10)).astype(np.int16)
    nifti(tmp_path / "src" / "p1.nii.gz", array)
    nifti(tmp_path / "src" / "p2.nii.gz", array[::-1] // 2)
    return tmp_path / "src"


def test_prepare_and_inspect(src, tmp_path, capsys):
    store = str(tmp_path / "store")
    assert main(["prepare", str(src), store, "--workers", "0"]) == 0
    assert "2 scans of 2 patients" in capsys.readouterr().out
    assert main(["inspect", store]) == 0
    assert "2 scans of 2 patients" in capsys.readouterr().out
    assert (tmp_path / "store" / "sheet.png").exists()


def test_json(src, tmp_path, capsys):
    store = str(tmp_path / "store")
    (src / "bad.nii.gz").write_text("no image")
    assert main(["prepare", str(src), store, "--workers", "0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scans"] == 2 and report["failed"][0][0] == "bad.nii.gz"
    assert main(["inspect", store, "--json", "--scans", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scans"] == 2 and found["failed"][0][0] == "bad.nii.gz"
    assert not (tmp_path / "store" / "sheet.png").exists()


def test_strict_fails_after_the_others_are_done(src, tmp_path, capsys):
    (src / "a_bad.nii.gz").write_text("no image")
    store = str(tmp_path / "store")
    assert main(["prepare", str(src), "--workers", "0", "--strict", store]) == 1
    assert "FAILED" in capsys.readouterr().out and len(Store(store)) == 2


def test_paths_may_follow_a_list(src, tmp_path):
    store = str(tmp_path / "store")
    assert main(["prepare", "--workers", "0", "--spacing", "1", "1", "2", str(src), store]) == 0
    assert Store(store)[0].spacing == (1, 1, 2)


def test_nothing_usable_is_a_failure(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "bad.nii.gz").write_text("no image")
    assert main(["prepare", str(tmp_path / "src"), str(tmp_path / "store"), "--workers", "0"]) == 1
    assert "no scan of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "nowhere"], "error: nowhere is not a store"),
        (["inspect", "nowhere", "--scans", "-1"], "error: --scans must be 0 or more"),
        (["prepare", "nowhere", "store"], "error: There is no folder nowhere"),
        (
            ["prepare", "a", "b", "--spacing", "1", "2"],
            "takes `none`, one or three numbers, got `1 2`",
        ),
        (["prepare", "a", "b", "--spacing", "none", "2", "3"], "numbers, got `none 2 3`"),
        (["prepare", "a", "b", "--samples", "--workers", "-2"], "error: `workers` must be 0 or more"),
    ],
)
def test_a_mistake_gets_a_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_verbose_shows_the_traceback(capsys):
    assert main(["inspect", "nowhere", "--verbose"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["prepare", "only_one"], ["prepare", "a", "b", "c"], ["prepare", "a", "b", "--wrokers", "2"], []]
)
def test_misuse_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_spacing():
    assert parse_spacing(["none"]) is None
    assert parse_spacing(["1.5"]) == (1.5, 1.5, 1.5)
    assert parse_spacing(["1", "1", "2"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "which", "source", "store"),
    [
        ([], "default", "samples/source", "samples/store"),
        (["mine"], "default", "mine_source", "mine"),
        (["all", "mine"], "all", "mine_source", "mine"),
        (["tree", "mine"], "default", "tree", "mine"),
    ],
)
def test_samples(arguments, which, source, store, tmp_path, monkeypatch, capsys):
    asked = []

    def fetch(target, which):
        asked.append((str(target), which))
        nifti(
            target / "ct" / "a" / "a.nii.gz", np.random.default_rng(0).integers(-1000, 99, (6, 7, 8)).astype(np.int16)
        )
        return samples_module.SampleReport(target, (), (), 0, {}, 0, False)

    monkeypatch.setattr(samples_module, "fetch_samples", fetch)
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "--workers", "0", "--samples", *arguments]) == 0
    assert asked == [(source, which)] and len(Store(store)) == 1


def test_help_teaches_with_an_example(capsys):
    for command in ("prepare", "inspect"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "example" in capsys.readouterr().out


@pytest.mark.slow
def test_prepare_and_inspect_start_without_torch(src, tmp_path):
    code = (
        "import sys; from monai_ssl.cli import main; "
        "main(['prepare', *sys.argv[1:], '--workers', '0']); main(['inspect', sys.argv[2]]); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(src), str(tmp_path / "store")], check=True)
