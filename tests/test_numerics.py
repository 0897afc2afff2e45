"""Inputs, rates and gradients at the ends of what can come: every bundle stays finite on them."""

import pytest
import torch
from method_cases import BUNDLES, built

from monai_ssl.data.windows import WindowDataset, endless_loader

pytestmark = pytest.mark.bundle
INPUTS = {
    "air": torch.zeros_like,
    "one gray": lambda x: torch.full_like(x, 0.5),
    "saturated": torch.ones_like,
    "black and white": lambda x: (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > 0.5).to(x.dtype),
    "faint": lambda x: torch.zeros_like(x).index_fill_(-1, torch.tensor(x.shape[-1] // 2), 1e-7),
}


def is_image(x):
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim >= 4


def not_finite(method, batch, dtype):
    """Views, terms and gradients that are not finite, or terms that are not in float32."""
    found = [f"views of {k}" for k, v in batch.items() if is_image(v) and not v.isfinite().all()]
    for step in method.steps:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            terms = method(batch, step)
        found += [f"{k}: {v}" for k, v in terms.items() if not v.isfinite() or v.dtype != torch.float32]
        # gradients of float16 may overflow where batch norm divides by nothing: the scaler leaves out such a step
        if dtype is not torch.float16:
            torch.stack(list(terms.values())).sum().backward()
            gradients = ((name, p.grad) for name, p in method.named_parameters() if p.grad is not None)
            found += [name for name, gradient in gradients if not gradient.isfinite().all()]
    return found


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
def test_extreme_batches_stay_finite(case, dtype):
    """X-6: in half precision, too."""
    for kind, change in INPUTS.items():
        windows = {k: change(v) if is_image(v) else v for k, v in case.windows.items()}
        views = case.views.set_random_state(0)(windows)
        # the oneDNN of torch 2.13 gives garbage now and then for gradients of small 3-D convolutions in bfloat16, where
        # the processor has AVX512_BF16
        with torch.backends.mkldnn.flags(enabled=dtype is not torch.bfloat16):
            assert not_finite(case.copy(), views, dtype) == [], kind


ROTATION = BUNDLES / "rotation/configs/pretrain_2d.json"


def test_a_rate_of_zero_trains_nothing_and_ends_well(settings, tmp_path):
    case = built(ROTATION, settings(ROTATION, lr=0.0, weight_decay=0.1))
    before = case.copy()
    case.trainer.run()
    assert all(map(torch.equal, before.parameters(), case.method.parameters()))
    assert (tmp_path / "encoder.safetensors").is_file()


def test_a_step_whose_gradients_overflow_is_left_out_and_the_next_is_scaled_less(settings):
    case = built(ROTATION, settings(ROTATION))
    before = case.copy()
    case.trainer.scaler = torch.amp.GradScaler("cpu")
    next(case.method.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    case.trainer.run()
    assert all(map(torch.equal, before.parameters(), case.method.parameters()))
    assert case.trainer.scaler.get_scale() < 2.0**16


@pytest.mark.parametrize("samples", [3, 5, 7])
def test_no_batch_is_left_with_a_single_sample(samples):
    """Where an epoch does not divide into batches, its last samples open the next one."""
    loader = iter(
        endless_loader(WindowDataset([torch.rand(1, 8, 8) for _ in range(samples)], [lambda s: {"x": s["image"]}]), 2)
    )
    assert {len(next(loader)["x"]) for _ in range(3 * samples)} == {2}
