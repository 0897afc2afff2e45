"""``>>>`` examples: all that a bundle's JSON can name has one, and every example of the package is true."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = r"monai_ssl(?:\.\w+)+"


def names_in(config):
    """Everything of the package that a JSON names, in full where it is imported under a short name."""
    text = config.read_text()
    for module, short in re.findall(rf"import ({NAME}) as (\w+)", text):
        text = re.sub(rf"(?<![\w.#@]){short}(?=\.)", module, text)
    return re.findall(NAME, text)


NAMES = {name for config in ROOT.glob("bundles/*/configs/*.json") for name in names_in(config)}


def test_what_a_bundle_names_has_an_example():
    objects = {name: pkgutil.resolve_name(name) for name in sorted(NAMES)}
    named = {name: thing for name, thing in objects.items() if not inspect.ismodule(thing)}
    bare = [name for name, thing in named.items() if ">>>" not in (thing.__doc__ or "")]
    assert len(named) > 50 and not bare, f"A bundle names these, show in their docstrings how to use them: {bare}"


def test_examples_are_true():
    files = [path for path in (ROOT / "monai_ssl").rglob("*.py") if ">>>" in path.read_text()]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(files)]
    failed = [name for name in modules if doctest.testmod(importlib.import_module(name)).failed]
    assert not failed, failed
