"""Inputs at the ends of what can come: every bundle stays finite on them, and two runs are one."""

import pytest
import torch
from method_cases import CONFIGS, name, parsed, small

from monai_ssl.data.windows import WindowDataset, endless_loader

pytestmark = pytest.mark.bundle
INPUTS = {
    "air": torch.zeros_like,
    "one gray": lambda x: torch.full_like(x, 0.5),
    "saturated": torch.ones_like,
    "black and white": lambda x: (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > 0.5).to(x.dtype),
    "faint": lambda x: torch.zeros_like(x).index_fill_(-1, torch.tensor(x.shape[-1] // 2), 1e-7),
}


@pytest.fixture(scope="module", params=CONFIGS, ids=name)
def bundle(request, cohort, tmp_path_factory):
    """Method, views and a batch of the loader."""
    torch.manual_seed(0)
    parser = parsed(request.param, small(request.param, cohort, tmp_path_factory.mktemp("out")))
    method, views, trainer = (parser.get_parsed_content(i) for i in ("network_def", "views", "train#trainer"))
    return method.train(), views, next(iter(trainer.data_loader))


def is_image(x):
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim >= 4


def wrong(method, views, batch, dtype=None):
    """Terms and parameters that are not finite."""
    views.set_random_state(0)
    method.zero_grad(set_to_none=True)
    batch = views(batch)
    found = [f"views of {k}" for k, v in batch.items() if is_image(v) and not v.isfinite().all()]
    for step in method.steps:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            terms = method(batch, step)
        found += [f"{term} = {value.item()}" for term, value in terms.items() if not value.isfinite()]
        torch.stack(list(terms.values())).sum().backward()
        # gradients of float16 may overflow where batch norm divides by nothing: the scaler leaves out such a step
        if dtype is not torch.float16:
            found += _not_finite(method)
    method.zero_grad(set_to_none=True)
    return found


def _not_finite(method):
    return [n for n, p in method.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]


@pytest.mark.parametrize("kind", INPUTS)
def test_extreme_batches_stay_finite(bundle, kind):
    method, views, batch = bundle
    assert wrong(method, views, {k: INPUTS[kind](v) if is_image(v) else v for k, v in batch.items()}) == []


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", INPUTS)
def test_extreme_batches_stay_finite_in_half_precision(bundle, kind, dtype):
    method, views, batch = bundle
    assert wrong(method, views, {k: INPUTS[kind](v) if is_image(v) else v for k, v in batch.items()}, dtype) == []


def trained(path, cohort, out, change=lambda trainer: None, **overrides):
    parser = parsed(path, small(path, cohort, out, **overrides))
    parser.get_parsed_content("initialize")
    trainer = parser.get_parsed_content("train#trainer")
    change(trainer)
    before = {k: v.detach().clone() for k, v in trainer.method.named_parameters()}
    trainer.run()
    return before, trainer.method


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_the_same_seed_gives_the_same_network_with_and_without_workers(path, cohort, tmp_path):
    first, again = (
        trained(path, cohort, tmp_path / str(workers), windows_per_scan=2, num_workers=workers)[1].state_dict()
        for workers in (0, 2)
    )
    assert [k for k, v in first.items() if not torch.equal(v, again[k])] == []


ONE = pytest.mark.parametrize("path", [p for p in CONFIGS if name(p) == "rotation-pretrain_2d"], ids=name)


@ONE
def test_a_rate_of_zero_trains_nothing_and_ends_well(path, cohort, tmp_path):
    before, method = trained(path, cohort, tmp_path, lr=0.0, weight_decay=0.1)
    assert all(torch.equal(before[k], v) for k, v in method.named_parameters())
    assert (tmp_path / "encoder.safetensors").is_file()


@ONE
def test_a_step_whose_gradients_overflow_is_left_out_and_the_next_is_scaled_less(path, cohort, tmp_path):
    scaler = torch.amp.GradScaler("cpu")

    def overflow(trainer):
        trainer.scaler = scaler
        next(trainer.method.parameters()).register_hook(lambda gradient: gradient * float("inf"))

    before, method = trained(path, cohort, tmp_path, overflow)
    assert all(torch.equal(before[k], v) for k, v in method.named_parameters())
    assert scaler.get_scale() < 2.0**16


@pytest.mark.parametrize("samples", [3, 5, 7])
def test_no_batch_is_left_with_a_single_sample(samples):
    """Where an epoch does not divide into batches, its last samples open the next one."""
    loader = iter(
        endless_loader(WindowDataset([torch.rand(1, 8, 8) for _ in range(samples)], [lambda s: {"x": s["image"]}]), 2)
    )
    assert {len(next(loader)["x"]) for _ in range(3 * samples)} == {2}
