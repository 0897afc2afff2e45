"""The page of properties and the tests that cite them name each other."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs/properties.md").read_text()
ROWS = re.findall(r"^\| (\S+)-(\d+) \|.*\| (\S.*?) \|$", PAGE, re.MULTILINE)
NAME = "|".join(sorted({re.escape(name) for name, _, _ in ROWS}, key=len, reverse=True))


def cited(text):
    """All numbers in a text, those between the ends of a range included."""
    found = set()
    for name, first, last in re.findall(rf"(?<![\w+-])({NAME})-(\d+)(?: to \1-(\d+))?", text):
        found |= {f"{name}-{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_the_page_and_the_tests_cite_the_same_properties():
    said = {(file, f"{name}-{number}") for name, number, files in ROWS for file in re.findall("`(.*?)`", files)}
    held = {
        (path.relative_to(TESTS).as_posix(), number)
        for path in {*TESTS.rglob("test_*.py")} - {Path(__file__)}
        for number in cited(path.read_text())
    }
    assert len(ROWS) > 100 and len({row[:2] for row in ROWS}) == len(ROWS)
    assert not held - said, f"cited, but not on the page beside that test: {sorted(held - said)}"
    assert not said - held, f"on the page, but not cited by that test: {sorted(said - held)}"
    assert ("transforms/puzzles/test_rotation_task.py", "ROT-5") in held  # between the ends of a range
