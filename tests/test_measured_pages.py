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


def test_what_a_step_needs_has_a_row_for_every_configuration():
    """After a new bundle: ``python docs/resources.py``."""
    resources = importlib.import_module("resources")
    assert resources.PAGE.read_text() == resources.page(), "`python docs/resources.py --page` writes it anew"
    table = json.loads(resources.TABLE.read_text())
    rows = {(bundle, name) for bundle, told in table["bundles"].items() for name in told}
    assert rows == {(path.parts[-3], path.stem) for path in resources.configurations()}
    assert all(("bytes" in need) != ("why" in need) for told in table["bundles"].values() for need in told.values())
    reasons = [need["why"] for told in table["bundles"].values() for need in told.values() if "why" in need]
    assert [why for why in reasons if "cannot be told without values" not in why] == [], "the defaults do not build"
    for told in table["checked"].values():
        assert 0.9 < told["counted"] / told["tensors"] < 1.1 and 0.8 < told["counted"] / told["allocated"] < 1.2


@pytest.mark.parametrize(
    ("bundle", "name"), [("autoencoder", "pretrain"), ("rotation", "pretrain_2d"), ("cube_plus_plus", "pretrain")]
)
def test_what_a_step_needs_is_what_is_counted_now(bundle, name, store):
    """After a change of the method, its defaults or the count: ``python docs/resources.py BUNDLE``."""
    resources = importlib.import_module("resources")
    told = json.loads(resources.TABLE.read_text())["bundles"][bundle][name]
    # windows are padded to their size, so that any scans give the same
    found = resources.row(ROOT / "bundles" / bundle / "configs" / f"{name}.json", str(store))
    assert found.pop("bytes") == pytest.approx(told.pop("bytes"), rel=0.02)
    assert found == told
