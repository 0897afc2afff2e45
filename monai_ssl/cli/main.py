"""Command-line entry point: parse the command, print errors as sentences."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

from monai_ssl import __version__
from monai_ssl.errors import printable

COMMANDS = (
    "prepare",
    "inspect_store",
    "upload",
    "preview",
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "embed",
    "benchmark",
    "discover",
    "study",
    "handoff",
    "pack",
    "adopt",
    "plan",
    "advise",
    "new_method",
    "analyse",
)
"""Modules of this package; a new command is a new module and its name here."""
PROGRAM = "python -m monai_ssl"
"""What help shows; `monai-ssl` is the same after an installation."""
FAILED, MISUSED = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 when it failed, or 2 when it was asked for in a way that cannot work.

    Args:
        argv: the arguments without the program's name; those of the process by default.
    """
    parser, _ = _parsers()
    args, rest = parser.parse_known_args(argv)
    if hasattr(args, "paths") and not any(word.startswith("-") for word in rest):
        # argparse leaves what follows an option: `prepare SRC --workers 2 STORE`
        args.paths, rest = [*args.paths, *rest], []
    if rest and not getattr(args, "takes_overrides", False):
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.overrides = rest
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("stopped; what is done is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `| head` closed the pipe: not worth a word, and the interpreter must not try to flush into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, TypeError, KeyError, OSError) as error:
        if args.verbose:
            traceback.print_exc()
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return MISUSED


def command_parsers() -> Mapping[str, argparse.ArgumentParser]:
    """Return the parser of each command by its name, for the page of the site that lists them."""
    return _parsers()[1]


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Self-supervised pre-training for medical images. `COMMAND --help` shows examples.",
    )
    parser.add_argument("--version", action="version", version=f"monai_ssl {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"monai_ssl.cli.{name}")
        before = set(subparsers.choices)
        module.add_parser(subparsers)
        for added in set(subparsers.choices) - before:
            command = subparsers.choices[added]
            command.add_argument("--verbose", action="store_true", help="show where in the code an error arose")
            command.set_defaults(run=module.run, parser=command)
    return parser, subparsers.choices


def _sentence(error: Exception) -> str:
    # str() of a KeyError is the repr of its message
    return printable(str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error))
