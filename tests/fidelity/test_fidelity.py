"""What ``docs/fidelity.md`` tells: our losses are those of an independent computation, our settings those it names."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch
from cases import every_case
from monai.bundle import ConfigParser

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("fidelity", ROOT / "docs/fidelity.py")
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)
TABLE, CASES = page.table(), every_case()
WITHIN = 2e-6
"""Rounding of losses that are computed in float32."""
EACH = [(method, name) for method, cases in CASES.items() for name in cases]


@cache
def differences(method, name):
    return CASES[method][name]().differences()


def of_bundle(method, config, preset, key):
    parser = ConfigParser()
    parser.read_config(str(ROOT / f"bundles/{method}/configs/{config}.json"))
    if preset is not None:
        parser["preset"] = preset
    return parser.get_parsed_content(key)


def rows(kind):
    return [pytest.param(method, *row, id=f"{method}-{row[0]}") for method in TABLE for row in TABLE[method][kind]]


@pytest.mark.parametrize(("method", "name"), EACH, ids=lambda word: word)
def test_losses_and_gradients_are_those_of_the_independent_computation(method, name):
    found = differences(method, name)
    assert max(found.values()) < WITHIN, found


def test_a_difference_would_be_seen():
    one = CASES["simclr"]["3-D"]()
    worse = type(one)({"contrast": one.ours["contrast"] * 1.00001}, one.theirs, one.weight)
    assert all(value > WITHIN for value in worse.differences().values())


@pytest.mark.parametrize(("method", "config", "preset", "part", "count"), rows("counts"))
def test_networks_have_as_many_parameters_as_the_authors(method, config, preset, part, count):
    with torch.device("meta"):
        network = of_bundle(method, config, preset, "network_def")
    for name in filter(None, part.split("#")):
        network = getattr(network, name)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == count


@pytest.mark.parametrize(("method", "what", "config", "key", "paper", "reference"), rows("settings"))
def test_presets_switch_the_settings_of_the_bundle(method, what, config, key, paper, reference):
    assert [of_bundle(method, config, preset, key) for preset in ("paper", "reference")] == [paper, reference]


def test_the_page_is_current():
    """After a change of the table or of a method: ``python docs/fidelity.py``."""
    assert sorted(TABLE) == sorted(CASES)
    written = page.PAGE.read_text()
    now = page.rendered({method: {name: differences(method, name) for name in CASES[method]} for method in TABLE})
    assert page.without_numbers(written) == page.without_numbers(now)
    told = [float(number) for number in page.NUMBER.findall(written)]
    assert len(told) > 100 and max(told) < WITHIN
