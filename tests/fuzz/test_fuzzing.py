"""Two thousand damaged files of every kind, in processes with little memory; `run.py` makes a hundred thousand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from mutations import damaged, damaged_text, twisted  # noqa: E402
from run import is_sentence  # noqa: E402

from monai_ssl.store import Store, load_split  # noqa: E402

TARGETS = 28


def fuzz(tmp_path, *options):
    out = tmp_path / "out.json"
    command = [sys.executable, str(HERE / "run.py"), "--out", str(out), *options]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, errors="replace"
    )
    assert out.is_file(), done.stderr[-2000:]
    return json.loads(out.read_text())


def check(result, cases):
    assert not result["findings"], "\n".join(map(str, result["findings"][:10]))
    counts = result["counts"]
    assert len(counts) == TARGETS and sum(map(sum, (c.values() for c in counts.values()))) >= cases
    # a target that refuses nothing, or everything, tests nothing
    tolerant = {"store record", "src/store/private/hashes.json", "cells/k/result.json", "study record"}
    assert all(c.get("refused") for name, c in counts.items() if name not in tolerant), counts
    assert sum(c.get("read", 0) for c in counts.values()) > cases // 10, counts


def test_two_thousand_damaged_files(tmp_path):
    check(fuzz(tmp_path, "--cases", "2000"), 2000)


@pytest.mark.torture
@pytest.mark.slow
def test_a_hundred_thousand_damaged_files(tmp_path):
    check(fuzz(tmp_path, "--cases", "100000", "--first", "1000000"), 100_000)


def test_damage_repeats_by_its_number():
    data, entries = bytes(range(256)) * 8, {"a": [1, {"b": 2}], "c": "x"}
    for number in range(50):
        one, two = (np.random.default_rng(number) for _ in range(2))
        assert damaged(data, one) == damaged(data, two)
        assert repr(twisted(entries, one)) == repr(twisted(entries, two))
        assert damaged_text(json.dumps(entries), one) == damaged_text(json.dumps(entries), two)
    assert entries == {"a": [1, {"b": 2}], "c": "x"}, "the sample stays as it is"


def test_an_accident_is_no_sentence(tmp_path):
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a split") as said:
        load_split(tmp_path / "split.json")
    assert is_sentence(said.value)
    with pytest.raises(TypeError) as accident:
        Store(3j)  # type: ignore[arg-type]
    assert not is_sentence(accident.value)
