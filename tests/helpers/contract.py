"""What every random batch transform must keep, as one function for the tests of each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.data import MetaTensor

from monai_ssl.transforms import RandBatchTransform

SHAPES = [(1, 20, 17, 14), (3, 20, 17), (2, 16, 18, 15)]
"""Neither square nor cubic, 2-D and 3-D, one channel and more."""


def images(shape: tuple[int, ...], batch: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed))


def run(transform: RandBatchTransform, x: torch.Tensor, seed: int = 7) -> torch.Tensor:
    return transform.set_random_state(seed).batch({"image": x})["image"]


def check_contract(make: Callable[[float], RandBatchTransform], shape: tuple[int, ...], atol: float = 0.0) -> None:
    """Check ``make(prob)``, a transform of key "image", on images of ``shape`` (C, *spatial)."""
    x = images(shape)
    before = x.clone()
    out = run(make(1.0), x)
    assert torch.equal(x, before), "the input changed"
    assert out.shape == x.shape and out.dtype == torch.float32 and out.isfinite().all()
    assert not torch.equal(out, x), "nothing was done"
    assert torch.equal(run(make(1.0), x), out), "the same seed gave another result"

    transform = make(1.0).set_random_state(7)
    singles = torch.stack([transform({"image": sample})["image"] for sample in x])
    torch.testing.assert_close(singles, out, atol=atol, rtol=0, msg="a batch differs from its samples one by one")
    listed = make(1.0).set_random_state(7)({"image": list(x)})["image"]
    assert isinstance(listed, list) and torch.equal(torch.stack(listed), out)

    never = run(make(0.0), x)
    assert torch.equal(never, x) and never.data_ptr() != x.data_ptr()
    check_some_are_treated(make, shape, atol)

    meta = MetaTensor(x[0], meta={"filename_or_obj": "scan"})
    whole = make(1.0).set_random_state(7)({"image": meta, "other": "kept"})
    assert isinstance(whole["image"], MetaTensor) and whole["image"].meta["filename_or_obj"] == "scan"
    assert whole["other"] == "kept"
    torch.testing.assert_close(whole["image"].as_tensor(), out[0], atol=atol, rtol=0)


def check_some_are_treated(make: Callable[[float], RandBatchTransform], shape: tuple[int, ...], atol: float) -> None:
    """With probability 0.5 the treated samples come out as with probability 1, and the others stay."""
    x = images(shape, batch=12)
    some, every = (run(make(prob), x, seed=5) for prob in (0.5, 1.0))
    treated = [i for i in range(len(x)) if not torch.equal(some[i], x[i])]
    assert 0 < len(treated) < len(x)
    torch.testing.assert_close(some[treated], every[treated], atol=atol, rtol=0)
