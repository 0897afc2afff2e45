"""Bundles by name or path, and where their files lie; in the checkout and installed alike."""

from __future__ import annotations

from pathlib import Path

from monai_ssl.errors import nearest

# a link to the checkout's `bundles`; the wheel holds the files themselves
_SHIPPED = Path(__file__).with_name("bundles")


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with this package, sorted."""
    return sorted(folder.name for folder in _SHIPPED.glob("*") if _configs(folder).is_dir())


def is_shipped(folder: Path) -> bool:
    """Return whether a bundle's folder is one that comes with this package.

    >>> is_shipped(bundle_folder("pcrlv2")), is_shipped(Path("pcrlv2"))
    (True, False)
    """
    return folder.resolve().parent == _SHIPPED.resolve()


def bundle_folder(named: str | Path, base: Path = Path()) -> Path:
    """Return the folder of a bundle.

    Args:
        named: a bundle that comes with this package (``pcrlv2``), or the path of any bundle's folder, which is one
            when it has a slash (``./pcrlv2``).
        base: where relative paths start.

    Raises:
        ValueError: when there is no such bundle.

    >>> bundle_folder("pcrlv2").name
    'pcrlv2'
    """
    places = [base / named] if "/" in str(named) else [_SHIPPED / named, base / named]
    for folder in places:
        if _configs(folder).is_dir():
            return folder.resolve()
    known = shipped_bundles()
    near = nearest(str(named), known)
    raise ValueError(
        f"There is no bundle `{named}`{f'; did you mean `{near}`?' if near else '.'} Give the folder of one (with "
        f"`configs`), or one of: {', '.join(known)}."
    )


def shipped_encoders() -> dict[str, Path]:
    """Return the files of the encoders that come with this package, by name.

    >>> [name for name in shipped_encoders()]
    ['moco/headneck_ct', 'simclr/chest_xray', 'simclr/headneck_ct', 'vicreg/headneck_ct']
    """
    files = sorted(_SHIPPED.glob("*/models/*/encoder.safetensors"))
    return {f"{file.parents[2].name}/{file.parent.name}": file for file in files}


def weights_place(named: str | Path) -> Path:
    """Return the place of published weights: a path that is there, or the file of an encoder by its name.

    Args:
        named: a file, the folder of a run, or the name of an encoder that comes with this package, which is taken where
            no such path is.

    Raises:
        FileNotFoundError: when there is neither.

    >>> weights_place("simclr/headneck_ct").name
    'encoder.safetensors'
    """
    path, shipped = Path(named), shipped_encoders()
    if path.exists():
        return path
    if str(named) in shipped:
        return shipped[str(named)]
    raise FileNotFoundError(
        f"There are no weights `{named}`: give `encoder.safetensors` of a run, its folder, or the name of an encoder "
        f"that comes along: {', '.join(shipped)}."
    )


def config_file(folder: Path, config: str) -> Path:
    """Return a configuration of a bundle by its name, as ``pretrain_2d``."""
    return _configs(folder) / f"{config}.json"


def bundle_of(config: Path) -> Path:
    """Return the folder of the bundle that a configuration is of."""
    return config.resolve().parents[1]


def _configs(folder: Path) -> Path:
    return folder / "configs"
