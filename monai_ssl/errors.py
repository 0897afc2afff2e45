"""Error messages for users: under ``python -m monai.bundle`` one sentence instead of a stack trace."""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import sys
import time
import traceback
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

_PACKAGE = Path(__file__).parent
_MISTAKES = (ValueError, TypeError, KeyError, FileNotFoundError, FloatingPointError)
_OF_THE_DISK = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "your quota of the disk is used up; make room",
    errno.EFBIG: "it would be larger than the disk or your limit (`ulimit -f`) allows; raise it, or choose another",
    errno.EROFS: "the disk can only be read; choose another folder",
    errno.EACCES: "you have no permission; change it, or choose another folder",
    errno.EPERM: "you have no permission; change it, or choose another folder",
    errno.EIO: "the disk failed; copy what is left to another one",
}
_LOST = (
    *("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited"),
    *("ms for recv operation to complete", "ms for send operation to complete"),
)
_OF_ANOTHER = (
    "Another process of this job has ended, does not answer, or its machine was lost: if it could say why, the reason "
    "is in what it printed. `--resume true` continues the run, with fewer processes, too."
)
_LATER = 10
"""Seconds by which one that only lost another process dates its end, so that one that knows a reason comes first."""
_FORMER = {"held_out": "validation", "disturb": "augment"}
TRACEBACK_VARIABLE = "MONAI_SSL_TRACEBACK"


class AnotherRunError(ValueError):
    """A checkpoint is that of another run than the one that was to continue it."""


class ScanError(ValueError):
    """A scan of a store is missing, cut short or damaged."""


def explain_mistakes() -> None:
    """Under ``python -m monai.bundle``, print the sentence of our own errors instead of MONAI's chain of traces.

    So is what others raise while a component of the configuration is built. Errors that arise later outside of this
    package, and all when ``MONAI_SSL_TRACEBACK=1`` is set, keep their traces. In
    other programs, a notebook for instance, nothing is changed. Under ``torchrun`` the reason also stands in its
    summary, and a process that fails only because another one did says so.

    >>> hook = sys.excepthook
    >>> explain_mistakes()
    >>> sys.excepthook is hook  # a program of its own keeps its traces
    True
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name.startswith("monai.bundle"):
        sys.excepthook = _explain


def sentence_of(error: BaseException) -> str | None:
    """Return the message of the error that began the chain, if this package raised it for a user to read."""
    if isinstance(error, _MISTAKES) and "in DataLoader worker" in str(error):
        return _of_worker(str(error))
    component = _component_of(error)
    while error.__cause__ is not None:
        if _is_ours(error):
            break
        error = error.__cause__
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return _of_disk(error)
    if _is_ours(error):
        return _text(error)
    return _of_foreign(error) or (component and _of_component(component, error))


def printable(text: str) -> str:
    r"""Return a text that a stranger wrote without what steers a terminal, and addresses without their passwords.

    >>> printable("a\x1b[31m red\nline"), printable("no answer from https://ann:s3cret@host:5000/api")
    ('a[31m red\nline', 'no answer from https://host:5000/api')
    """
    visible = "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cf"))
    return re.sub(r"(?<=://)[^\s'\"]*@", "", visible)


def counted(amount: int, one: str) -> str:
    """Return an amount with its noun.

    >>> counted(1, "scan"), counted(2, "study")
    ('1 scan', '2 studies')
    """
    plural = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{amount} {one if amount == 1 else plural}"


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the ``known`` names that a user who wrote ``name`` probably meant, if any.

    >>> nearest("max_epoch", ["lr", "max_epochs"])
    'max_epochs'
    >>> nearest("held_out", ["lr", "validation"])  # its former name
    'validation'
    """
    names = list(known)
    near = [n for n in names if n == _FORMER.get(name)] or difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return near[0] if near else None


def _component_of(error: BaseException) -> str | None:
    """The part of a configuration that MONAI could not build, if that is what it says."""
    if isinstance(error, ModuleNotFoundError) and str(error).startswith("Cannot locate class or function path"):
        return "A `_target_` of the configuration"
    found = re.match(r"Failed to instantiate component '(?:<bound method ([\w.]+)[^']*|([^']+))'", str(error))
    return f"`{found[1] or found[2]}`" if found and isinstance(error, RuntimeError) else None


def _of_component(component: str, error: BaseException) -> str:
    given = " ".join(word if word.startswith("--") else repr(word) for word in sys.argv[1:] if word != "run")
    return f"{component} could not be built: {type(error).__name__}: {_text(error)}\nIt was asked for with: {given}"


def _of_foreign(error: BaseException) -> str | None:
    """What users' mistakes look like where others raise: a library that is missing, weights of another network."""
    missing = re.search(r"No module named '([\w.]+)'", str(error))
    if missing and isinstance(error, ImportError):
        return f"A library is missing that this needs: install `{missing[1]}`, as with `pip install {missing[1]}`."
    if isinstance(error, RuntimeError) and str(error).startswith("Error(s) in loading state_dict"):
        faults = [line.strip() for line in str(error).splitlines()[1:]]
        return (
            f"The weights are of another network than the one that was built, in {len(faults)} points, as: {faults[0]} "
            "Leave out settings of the network, such as `width` or `encoder`, that differ from its training."
        )
    return None


def _text(error: BaseException) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _of_disk(error: OSError) -> str:
    what = f"{error.filename} cannot be read or written" if error.filename else "A file cannot be written"
    return f"{what}: {_OF_THE_DISK[error.errno or 0]}, then continue with `--resume true`."


def _of_worker(text: str) -> str | None:
    # torch raises the trace of a worker as text; the last file named is where it was raised
    lines = text.strip().splitlines()
    files = [line for line in lines if line.lstrip().startswith('File "')]
    ours = bool(files) and str(_PACKAGE) in files[-1]
    return lines[-1].partition(": ")[2] if ours else None


def _is_ours(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, _MISTAKES) and bool(frames) and _PACKAGE in Path(frames[-1].filename).parents


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if _is_consequence(error):
        print(f"\nerror: {_OF_ANOTHER}", file=sys.stderr)
        _tell_torchrun(_OF_ANOTHER, _LATER)
        return
    sentence = sentence_of(error)
    sentence = None if sentence is None else printable(sentence)
    # whole seconds, and other processes end within the same one
    _tell_torchrun(sentence or f"{kind.__name__}: {error}", -1)
    if sentence is None or os.environ.get(TRACEBACK_VARIABLE):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"\nerror: {sentence}\n({TRACEBACK_VARIABLE}=1 shows where it was raised)", file=sys.stderr)


def _is_consequence(error: BaseException) -> bool:
    """Whether only the connection to another process of the job was lost."""
    while error.__cause__ is not None:
        error = error.__cause__
    return "WORLD_SIZE" in os.environ and any(text in str(error) for text in _LOST)


def _tell_torchrun(message: str, later: int) -> None:
    """Write the file that ``torchrun`` shows as the root cause, if its time, now and so much later, is the earliest."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time()) + later}))
