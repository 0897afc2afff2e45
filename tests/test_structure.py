"""The rules of the design that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monai_ssl"
FILES = sorted(PACKAGE.rglob("*.py"))
NEVER = {"torchvision", "lightly", "timm", "pytorch_lightning", "lightning"}
ALLOWED = {
    "schedules": set(),
    "errors": set(),
    "files": set(),
    "machine": set(),
    "transforms": set(),
    "networks": set(),
    "losses": set(),
    "evaluation": {"networks", "transforms"},
    "methods": {"networks", "losses", "transforms", "schedules"},
    "engines": {"methods", "networks", "losses", "transforms", "schedules"},
    "data": set(),
    "transfer": {"data", "networks", "transforms"},
    "handlers": {"engines", "methods", "networks", "data", "transfer", "evaluation", "transforms", "schedules"},
    "zoo": {"data", "networks", "transfer"},
    "cli": {"data", "engines", "transforms", "handlers", "errors", "transfer", "zoo", "study"},
    "overrides": set(),
    "study": {"data", "evaluation", "handlers", "transfer"},
    "bundle": {
        "overrides",
        "data",
        "engines",
        "errors",
        "handlers",
        "methods",
        "transforms",
        "networks",
        "schedules",
        "transfer",
    },
}


def imports(path):
    """Imported modules; those for type checkers only do not count."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = room(path)
    for module in imports(path):
        top, *rest = module.split(".")
        assert top not in NEVER, f"{path} imports {module}"
        if top == "monai_ssl" and rest and own in ALLOWED:
            assert rest[0] in (own, "files", "machine") or rest[0] in ALLOWED[own], (
                f"`{own}` must not import `{module}`"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_unpickles_strangers(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            where = f"{path}:{node.lineno}"
            keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            owner = getattr(node.func.value, "id", "")
            assert owner not in ("pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"), where
            assert node.func.attr not in ("read_pickle", "unsafe_load", "full_load", "extractall"), where
            assert owner != "yaml" or node.func.attr != "load", where
            assert keywords.get("shell") is not True, where
            if owner == "torch" and node.func.attr == "load":
                assert keywords.get("weights_only") is True, where
            if owner == "np" and node.func.attr == "load":
                assert keywords.get("allow_pickle") is False, where


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_text_becomes_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__"), f"{path}:{node.lineno}"


def test_every_method_has_a_bundle_and_a_test():
    methods = {p.stem for p in (PACKAGE / "methods").glob("*.py")} - {"__init__", "base"}
    assert methods
    for name in methods:
        assert (ROOT / "bundles" / name / "configs" / "pretrain.json").is_file(), name
        assert (ROOT / "tests" / "methods" / f"test_{name}.py").is_file(), name


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by their bare name."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))


def test_the_package_imports_alone_and_fast():
    code = (
        "import time; t = time.perf_counter(); import monai_ssl, sys; t = time.perf_counter() - t;"
        "heavy = {'torch', 'monai', 'itk', 'mlflow', 'pydicom', 'torchio', 'sklearn'} & set(sys.modules);"
        "print(monai_ssl.__version__, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split()[1:] == ["[]"]
