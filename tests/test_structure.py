"""The rules of the design that a machine can check."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monai_ssl"
TREES = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
NEVER = {"torchvision", "lightly", "timm", "pytorch_lightning", "lightning"}
ANYBODY = {"arguments", "files", "former_paths", "machine", "errors", "process_lock"}
ANYBODY |= {"config_texts", "console", "dask_client", "extras", "mlflow_place", "places"}
"""What every room may import."""
ALLOWED = {
    "bundle_folders": set(),
    "pages": set(),
    "arguments": set(),
    "schedules": set(),
    "console": set(),
    "errors": set(),
    "mlflow_place": set(),
    "extras": set(),
    "config_texts": set(),
    "dask_client": set(),
    "former_paths": set(),
    "files": set(),
    "places": set(),
    "machine": set(),
    "process_lock": set(),
    "overrides": set(),
    "transforms": set(),
    "networks": set(),
    "losses": set(),
    "io": set(),
    "store": {"io"},
    "data": {"io", "store"},
    "words": {"data", "store"},
    "samples": {"io"},
    "evaluation": {"networks", "transforms"},
    "methods": {"networks", "losses", "transforms", "schedules"},
    "engines": {"methods", "networks", "losses", "transforms", "schedules"},
    "transfer": {"data", "store", "networks", "transforms"},
    "handlers": {
        "engines",
        "methods",
        "networks",
        "data",
        "store",
        "transfer",
        "evaluation",
        "transforms",
        "schedules",
    },
    "tasks": {"io", "store", "data", "networks", "transforms", "transfer", "evaluation", "handlers"},
    "analysis": {"pages", "io", "data", "store", "networks", "transforms", "evaluation", "transfer", "tasks"},
    "zoo": {"bundle_folders", "data", "store", "networks", "transfer", "tasks"},
    "study": {
        "bundle_folders",
        "pages",
        "io",
        "data",
        "store",
        "samples",
        "evaluation",
        "handlers",
        "networks",
        "transfer",
        "tasks",
        "transforms",
    },
    "stock_runs": {"bundle_folders", "io", "store"},
    "api": {"bundle_folders", "stock_runs", "bundle", "store", "networks", "transfer", "analysis"},
    "cli": {
        "bundle_folders",
        "stock_runs",
        "io",
        "data",
        "store",
        "words",
        "samples",
        "engines",
        "transforms",
        "handlers",
        "transfer",
        "zoo",
        "study",
        "analysis",
    },
    "bundle": {
        "overrides",
        "io",
        "store",
        "data",
        "engines",
        "handlers",
        "methods",
        "transforms",
        "networks",
        "schedules",
        "transfer",
    },
}
UNPICKLERS = {"pickle", "dill", "marshal", "shelve", "cloudpickle"}


def imports(tree):
    """Imported modules; those for type checkers only do not count."""
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


def wrong_imports(own, tree):
    for module in imports(tree):
        top, *rest = module.split(".")
        if top in NEVER:
            yield module
        if top == "monai_ssl" and rest and own in ALLOWED and rest[0] not in ALLOWED[own] | ANYBODY | {own}:
            yield module


def test_imports_point_one_way():
    found = []
    for path, tree in TREES.items():
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found += [f"{path}: `{own}` must not import `{module}`" for module in wrong_imports(own, tree)]
    assert not found, "\n".join(found)
    assert [*wrong_imports("io", ast.parse("import monai_ssl.study, torchvision"))] == [
        "monai_ssl.study",
        "torchvision",
    ]


def test_files_are_short_and_rooms_are_small():
    long = [str(path) for path in TREES if len(path.read_text().splitlines()) > 300]
    assert not long, long
    rooms = {path.parent: len([*path.parent.glob("*.py")]) for path in TREES if path.parent != PACKAGE / "methods"}
    crowded = {str(room): count for room, count in rooms.items() if count > 25}
    assert not crowded, crowded


def dangers(tree):
    """What would run a stranger's bytes or text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            if node.func.id in ("eval", "exec", "compile", "__import__"):
                yield node.lineno
        elif isinstance(node.func, ast.Attribute):
            keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            owner, name = getattr(node.func.value, "id", ""), node.func.attr
            if (
                owner in UNPICKLERS
                or name in ("read_pickle", "unsafe_load", "full_load", "extractall")
                or ((owner, name) == ("joblib", "load"))
                or ((owner, name) == ("yaml", "load"))
                or keywords.get("shell") is True
                or ((owner, name) == ("torch", "load") and keywords.get("weights_only") is not True)
                or ((owner, name) == ("np", "load") and keywords.get("allow_pickle") is not False)
            ):
                yield node.lineno


def test_nothing_runs_what_strangers_write():
    found = [f"{path}:{line}" for path, tree in TREES.items() for line in dangers(tree)]
    assert not found, found
    bad = "eval(x)", "pickle.loads(x)", "torch.load(f)", "np.load(f)", "z.extractall()", "run(x, shell=True)"
    assert all([*dangers(ast.parse(text))] == [1] for text in (*bad[:-1], "subprocess.run(x, shell=True)"))


def test_names_of_files_match():
    """Each method has its bundle and its test; pytest imports test files by their bare name."""
    methods = {p.stem for p in (PACKAGE / "methods").glob("*.py")} - {"__init__", "base"}
    assert methods
    for name in methods:
        assert (ROOT / "bundles" / name / "configs" / "pretrain.json").is_file(), name
        assert (ROOT / "tests" / "methods" / f"test_{name}.py").is_file(), name
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


def test_scripts_answer_help_and_refuse_what_they_do_not_know():
    """A script that reads its words raw makes a folder called `--help`, and one that reads none begins its work."""
    folders = ("tutorials", "benchmarks", "docs")
    scripts = [path for folder in folders for path in (ROOT / folder).glob("*.py") if "__main__" in path.read_text()]
    assert len(scripts) > 20
    for path in scripts:
        text = path.read_text()
        assert "parse_args()" in text and "sys.argv" not in text, path
