"""Pages and lines of figures are what their commands make of the tables that were measured."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def docs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def test_what_presets_for_a_cpu_teach():
    """After a change of either: ``python docs/small_presets.py``."""
    presets = importlib.import_module("small_presets")
    assert presets.PAGE.read_text() == presets.page()
    measured = json.loads(presets.TABLE.read_text())
    assert measured.keys() <= presets.MEASURES.keys() == {p.parents[1].name for p in PRESETS} - FIRST_WAVE


PRESETS = (ROOT / "bundles").glob("*/configs/cpu.json")
FIRST_WAVE = {"cross_contrast", "pcrlv2", "simclr"}
"""Without sessions in these scans; and those whose probes stand in docs/evidence.md or in the demonstration."""
