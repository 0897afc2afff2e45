"""Recipes: how a network is built again, as ``_target_`` and arguments of a MONAI configuration.

A model card needs the recipe of the encoder that it describes. MONAI tells a component nothing about the
configuration that it comes from, so its one place of instantiation is made to leave a note on every network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import entry_points
from pydoc import locate
from typing import Any

import torch
from monai.bundle import config_item
from torch import Tensor, nn

PACKAGES = ("monai_ssl.networks", "monai_ssl.methods", "monai.networks.nets")
"""A recipe that comes with a file may name the classes of these packages."""
ENTRY_POINT = "monai_ssl.networks"
"""Group of entry points by which an installed package offers further classes."""
_NOTE = "_monai_ssl_recipe"
_SHARED, _TENSOR = "_shared_", "_tensor_"


def remember(network: nn.Module, target: str, arguments: Mapping[str, Any]) -> None:
    """Note on a network how it was built; configurations do so by themselves."""
    object.__setattr__(network, _NOTE, (target, dict(arguments)))


def noted(network: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """Return ``_target_`` and arguments as objects, or ``None`` when it is not known how a network was built."""
    return getattr(network, _NOTE, None)


def recipe_of(network: nn.Module) -> dict[str, Any]:
    """Return ``_target_`` and arguments of a network, those of networks inside it included.

    Raises:
        ValueError: when the network was not built from a configuration, or an argument is neither a number, a text, a
            list or dictionary of them, a tensor nor a network.

    >>> from monai.bundle import ConfigParser
    >>> config = {"encoder": {"_target_": "monai_ssl.networks.ConvEncoder", "widths": [2, 4]}}
    >>> recipe_of(ConfigParser(config).get_parsed_content("encoder"))
    {'_target_': 'monai_ssl.networks.ConvEncoder', 'widths': [2, 4]}
    """
    uses = Counter(_networks_in(network))
    return _Description({network for network, count in uses.items() if count > 1}).of(network)


def build(recipe: Mapping[str, Any], trusted: Collection[str] = (), **changes: Any) -> nn.Module:
    """Build the network of a recipe that came with a file, which may choose among known classes only.

    Args:
        recipe: see :func:`recipe_of`.
        trusted: further classes that it may name, those of a configuration that the user runs.
        changes: other values for some of its arguments.

    Raises:
        ValueError: when the recipe names a class that is not offered, or arguments that the class does not take.

    >>> build({"_target_": "monai_ssl.networks.ConvEncoder", "widths": [2, 4]}, in_channels=3).in_channels
    3
    """
    return _Builder(trusted).build({**recipe, **changes})


class _Builder:
    """Builds networks inside others first, and what several share once."""

    def __init__(self, trusted: Collection[str]) -> None:
        self.trusted, self.shared = trusted, dict[str, nn.Module]()

    def build(self, recipe: Mapping[str, Any]) -> nn.Module:
        name = recipe.get(_SHARED)
        if name in self.shared:
            return self.shared[name]
        made = network_class(recipe.get("_target_"), self.trusted)
        arguments = {key: self._argument(value) for key, value in recipe.items() if key not in ("_target_", _SHARED)}
        try:
            network = made(**arguments)
        except TypeError as error:
            raise ValueError(f"`{recipe['_target_']}` cannot be built as its recipe says: {error}.") from error
        remember(network, str(recipe["_target_"]), arguments)
        if name is not None:
            self.shared[str(name)] = network
        return network

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if "_target_" in value or _SHARED in value:
                return self.build(value)
            if _TENSOR in value:
                return torch.tensor(value[_TENSOR])
            return {key: self._argument(entry) for key, entry in value.items()}
        return [self._argument(entry) for entry in value] if isinstance(value, list) else value


def network_class(target: Any, trusted: Collection[str] = ()) -> type[nn.Module]:
    """Return the class that a recipe names; a text from outside must not choose what is called.

    Raises:
        ValueError: when the class is not offered.

    >>> network_class("monai_ssl.networks.ConvEncoder").__name__
    'ConvEncoder'
    """
    offered = {entry.value.replace(":", ".") for entry in entry_points(group=ENTRY_POINT)}
    known = any(str(target).startswith(f"{package}.") for package in PACKAGES)
    if known or target in offered or target in trusted:
        found = locate(str(target))
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    raise ValueError(
        f"The file names the network {target!r}; known are the classes of {', '.join(PACKAGES)} and what installed "
        f"packages offer as `{ENTRY_POINT}`. Set `encoder` in the configuration to build it."
    )


def _noted(network: nn.Module) -> tuple[str, dict[str, Any]]:
    note = noted(network)
    if note is None:
        raise ValueError(
            f"How this {type(network).__name__} was built is not known: build it by a configuration, or say so with "
            "`monai_ssl.networks.remember(network, 'package.Class', arguments)`."
        )
    return note


def _networks_in(value: Any) -> Iterator[nn.Module]:
    """Yield every mention of a network: as the value, in it, and in how it was built."""
    if isinstance(value, nn.Module):
        yield value
        value = _noted(value)[1]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _networks_in(entry)


class _Description:
    """Turns arguments into plain values; a network that several share is told once and named after that."""

    def __init__(self, shared: set[nn.Module]) -> None:
        self.shared, self.names = shared, dict[nn.Module, str]()

    def of(self, network: nn.Module) -> dict[str, Any]:
        if network in self.names:
            return {_SHARED: self.names[network]}
        target, arguments = _noted(network)
        recipe = {"_target_": target, **{key: self.plain(value, f"{target} {key}") for key, value in arguments.items()}}
        if network in self.shared:
            self.names[network] = str(len(self.names))
            recipe[_SHARED] = self.names[network]
        return recipe

    def plain(self, value: Any, what: str) -> Any:
        if isinstance(value, nn.Module):
            return self.of(value)
        if isinstance(value, Tensor):
            return {_TENSOR: value.tolist()}
        if isinstance(value, Mapping):
            return {str(key): self.plain(entry, what) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(entry, what) for entry in value]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ValueError(f"{what} is a {type(value).__name__}, which no model card can hold.")


def _leave_notes(instantiate: Callable[..., Any]) -> Callable[..., Any]:
    def instantiated(target: str, mode: str, /, **arguments: Any) -> Any:
        made = instantiate(target, mode, **arguments)
        # what a function of a configuration built by a recipe keeps that recipe
        if isinstance(made, nn.Module) and isinstance(target, str) and not hasattr(made, _NOTE):
            remember(made, target, arguments)
        return made

    return instantiated


config_item.instantiate = _leave_notes(config_item.instantiate)

__all__ = ["ENTRY_POINT", "PACKAGES", "build", "network_class", "noted", "recipe_of", "remember"]
