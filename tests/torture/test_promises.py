"""The page of promises names tests that exist, and says which of them are slow."""

import ast
import re
from pathlib import Path

import pytest

from monai_ssl.handlers import Diagnostics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def functions_of(path):
    """The tests of a file by name, and whether each is slow."""
    tree = ast.parse((ROOT / path).read_text())
    whole = any(
        isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node) and ".slow" in ast.unparse(node)
        for node in tree.body
    )
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {f.name: whole or any("mark.slow" in ast.unparse(d) for d in f.decorator_list) for f in functions}


@pytest.mark.parametrize(("path", "test"), NAMED, ids=lambda part: part)
def test_a_promise_has_its_test(path, test):
    found = functions_of(path)
    assert test in found
    assert found[test] == (f"slow: `{path}::{test}`" in PAGE)


def test_there_are_promises_of_every_kind():
    assert len(NAMED) > 35
    for heading in ("Crashes", "Silent failures", "Bad data and strangers' files", "Numbers"):
        assert f"\n## {heading}\n" in PAGE


def test_every_diagnostic_stands_on_the_page():
    for name in re.findall(r":class:`(\w+)`", Diagnostics.__doc__):
        assert f"`{name}`" in PAGE, name
