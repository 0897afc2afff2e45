"""State of an optimizer by names of parameters: it does not depend on which of them are trained at the moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


def state_by_name(optimizer: Optimizer, network: nn.Module) -> dict[str, Any]:
    """Return moments and the like by name of their parameter, and the options of each group without its parameters."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        "state": {names[parameter]: dict(state) for parameter, state in optimizer.state.items()},
        "groups": [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups],
    }


def load_by_name(optimizer: Optimizer, network: nn.Module, saved: Mapping[str, Any], *, options: bool = True) -> None:
    """Restore what :func:`state_by_name` returned.

    Args:
        optimizer: holds at least the parameters that have a state.
        network: whose parameters have the names.
        saved: the state.
        options: also the options of the groups, learning rates among them.

    >>> import torch
    >>> first, second = (nn.Linear(2, 1) for _ in range(2))
    >>> trained = torch.optim.Adam([first.bias], lr=0.1)
    >>> first(torch.ones(1, 2)).sum().backward()
    >>> trained.step()
    >>> whole = torch.optim.Adam(second.parameters(), lr=0.2)
    >>> load_by_name(whole, second, state_by_name(trained, first))
    >>> whole.state[second.bias]["exp_avg"].shape, second.weight in whole.state, whole.param_groups[0]["lr"]
    (torch.Size([1]), False, 0.1)
    """
    numbers: dict[str, int] = {}
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = []
    for group, former in zip(optimizer.param_groups, saved["groups"], strict=True):
        members = [names[parameter] for parameter in group["params"]]
        own = {key: value for key, value in group.items() if key != "params"}
        groups.append({**own, **(former if options else {}), "params": [len(numbers) + i for i in range(len(members))]})
        numbers |= {name: len(numbers) + i for i, name in enumerate(members)}
    state = {numbers[name]: values for name, values in saved["state"].items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


__all__ = ["load_by_name", "state_by_name"]
