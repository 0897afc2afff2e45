"""Fuzz everything that reads files: ``python tests/fuzz/run.py --cases 100000``.

Each case damages one good file and lets the package read it. Only two ends are allowed: it is read, and what was
read keeps the promises of its format; or it is refused by an error that this package raised in a sentence. Any other
exception, a death, a wait above ``--seconds``, memory above ``--memory`` and a silent acceptance is a finding. A case
is repeated by its number: ``--only TARGET --first NUMBER --trace``.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
from targets import SilentlyAcceptedError, Target, all_targets  # noqa: E402

import monai_ssl  # noqa: E402
from monai_ssl.io.volume import ReadError  # noqa: E402

PACKAGE = str(Path(monai_ssl.__file__).parent)
MEMORY = Path("/dev/shm")
OURS = (ValueError, TypeError, KeyError, FileNotFoundError)


def outcome(target: Target, number: int, folder: Path) -> tuple[str, str]:
    """Run one case; return ``"read"``, ``"refused"``, ``"silent"`` or ``"crash"``, and what was said.

    The same target and number give the same case.
    """
    rng = np.random.default_rng([number, *target.name.encode()])
    shutil.rmtree(folder, ignore_errors=True)
    file = target.write(folder)
    file.write_bytes(target.mutate(target.sample, rng))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.use(folder)
    except SilentlyAcceptedError as error:
        return "silent", str(error)
    except BaseException as error:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        return "refused" if is_sentence(error) else "crash", f"{type(error).__name__}: {text}"
    return "read", ""


def is_sentence(error: BaseException) -> bool:
    """Whether a ``raise`` of this package made the error; one that Python raised in it is an accident."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    if isinstance(error, ReadError):
        return True
    return isinstance(error, OURS) and last.filename.startswith(PACKAGE) and last.lineno in _raises(last.filename)


@cache
def _raises(file: str) -> frozenset[int]:
    found = [node for node in ast.walk(ast.parse(Path(file).read_text())) if isinstance(node, ast.Raise)]
    return frozenset(line for node in found for line in range(node.lineno, (node.end_lineno or node.lineno) + 1))


def work(index: int, first: int, last: int, scratch: Path, memory: int, connection: Any) -> None:
    """Run cases of one target in a process of its own, and tell of each before and after."""
    import torch

    torch.set_num_threads(1)
    # what decoders print, some of them past Python
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    target = TARGETS[index]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    for number in range(first, last):
        connection.send(("begins", "", number))
        connection.send((*outcome(target, number, scratch / f"case{index}"), number))
    connection.close()


TARGETS: list[Target] = []


def fuzz(
    cases: int, first: int, scratch: Path, memory: int, seconds: float
) -> tuple[dict[str, Counter[str]], list[Any]]:
    """Return how the cases of each target ended, and each finding: (target, number, kind, what was said)."""
    context = multiprocessing.get_context("fork")
    counts: dict[str, Counter[str]] = {target.name: Counter() for target in TARGETS}
    findings: list[Any] = []
    share = -(-cases // len(TARGETS))
    for index, target in enumerate(TARGETS):
        begun = time.monotonic()
        number, last = first, first + share
        while number < last:
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(index, number, last, scratch, memory, theirs))
            process.start()
            theirs.close()
            kind = "died"
            try:
                while True:
                    if not mine.poll(seconds):
                        kind = "hang"
                        process.kill()
                        break
                    ended, said, at = mine.recv()
                    if ended == "begins":
                        number = at
                        continue
                    counts[target.name][ended] += 1
                    number = at + 1
                    if ended in ("silent", "crash"):
                        findings.append((target.name, at, ended, said))
            except EOFError:
                pass
            process.join()
            if number < last:
                counts[target.name][kind] += 1
                findings.append((target.name, number, kind, f"exit code {process.exitcode}"))
                number += 1
        print(f"{target.name:<32}{dict(counts[target.name])} in {time.monotonic() - begun:.1f} s", flush=True)
    return counts, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", help="target whose name contains this")
    parser.add_argument("--memory", type=int, default=2048, help="MiB that a case may need")
    parser.add_argument("--seconds", type=float, default=20, help="that a case may take")
    parser.add_argument("--out", type=Path, help="JSON file for the counts and findings")
    parser.add_argument("--trace", action="store_true", help="run in this process and show the traceback")
    args = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as place:
        scratch = Path(place)
        (scratch / "samples").mkdir()
        TARGETS.extend(t for t in all_targets(scratch / "samples") if not args.only or args.only in t.name)
        if args.trace:
            folder = scratch / "case"
            target = TARGETS[0]
            print(outcome(target, args.first, folder))
            target.use(folder)
            return 0
        for target in TARGETS:
            # the good sample is read; it also loads decoders once, not in each process
            target.write(scratch / target.name)
            target.use(scratch / target.name)
        counts, findings = fuzz(args.cases, args.first, scratch, args.memory * 2**20, args.seconds)
    total: Counter[str] = sum(counts.values(), Counter())
    print(f"{total.total()} cases in {time.monotonic() - begun:.0f} s: {dict(total)}")
    for finding in findings[:40]:
        print("FINDING", *finding)
    if args.out:
        args.out.write_text(json.dumps({"counts": counts, "findings": findings}, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
