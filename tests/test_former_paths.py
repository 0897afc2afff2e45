"""Scripts that were written for version 0.1 find what moved, and are told where it is."""

import subprocess
import sys
from importlib import import_module

import pytest

from monai_ssl.former_paths import MOVED, former_keyword


@pytest.mark.parametrize("former", MOVED)
def test_moved_modules_are_found_under_their_former_paths(former):
    with pytest.warns(DeprecationWarning, match="is now") if former not in sys.modules else nothing():
        alias = import_module(former)
    names = [name for name in vars(import_module(MOVED[former])) if not name.startswith("__")]
    assert all(getattr(alias, name) is getattr(import_module(MOVED[former]), name) for name in names)


def test_a_former_keyword_keeps_its_value():
    @former_keyword("held_out", "validation")
    def share(*, validation=0.1):
        return validation

    assert share() == 0.1 and share(validation=0.3) == 0.3
    with pytest.warns(DeprecationWarning, match="`held_out` is now `validation`"):
        assert share(held_out=0.2) == 0.2


def nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_script_of_the_last_version_runs():
    script = """
from monai_ssl.data import PrepareOptions, Split, Store, Volume, VisualWords, Word, WordOptions, prepare, save_split
from monai_ssl.data.datalist import segmentation_cases, select_section
from monai_ssl.data.pretraining import PretrainingScans
try:
    segmentation_cases("training", "nowhere")
except FileNotFoundError:
    print("a task's list")
try:
    PretrainingScans("nowhere", ".", 3, held_out=0.2)
except FileNotFoundError:
    print("a keyword")
try:
    from monai_ssl.data import nothing
except ImportError:
    print("no other name")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:3] == ["a task's list", "a keyword", "no other name"], done.stderr
