"""What holds for every method: which parameters a term moves, and what validation must not touch.

BYOL-1 to BYOL-3, C2L-3, DiRA-2, DiRA-3, DiRA-13, MoCo-1, MoCo-2, MoCo-7, MoCo-8, PCRLv1-1 and PCRLv1-2 of
docs/properties.md.
"""

import pytest
import torch
from method_cases import method_tests, name, terms_of

from monai_ssl.methods import Method
from monai_ssl.methods.base import SharesFeatures
from monai_ssl.networks import MomentumNetwork

pytestmark = pytest.mark.bundle
COMPARING = (
    "barlow_twins",
    "byol",
    "c2l",
    "deepcluster",
    "dira-pretrain_",
    "exemplar",
    "infomin",
    "moco",
    "pcl",
    "pcrlv",
)
COMPARING += ("dinov2", "sela", "simclr", "simsiam", "swav", "tower", "aligned", "swin_unetr", "vicreg", "voco", "gvsl")


def moved(method, step, batch, term):
    """Names of the parameters with a gradient other than zero; several draws, since a method may draw a part."""
    names = set()
    for seed in range(6):
        method.generator.manual_seed(seed)
        method.zero_grad(set_to_none=True)
        method(batch, step)[term].backward()
        names |= {n for n, p in method.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    method.zero_grad(set_to_none=True)
    return names


def test_each_term_moves_what_it_should_and_nothing_else(case):
    method, batch = case.copy(), case.batch()
    table = method_tests(case.path.parts[-3]).MOVES
    seen = set()
    for step in method.steps:
        trained = {id(p) for p in method.step_parameters(step)}
        own = {n for n, p in method.named_parameters() if id(p) in trained}
        for term in method(batch, step):
            seen.add(term)
            reached = moved(method, step, batch, term)
            assert step == "losses" or reached <= own, f"`{term}` of the adversary's step reaches the network"
            got = reached & own
            assert got, f"`{term}` moves nothing"
            allowed = tuple(table[term])
            assert all(n.startswith(allowed) for n in got), sorted(n for n in got if not n.startswith(allowed))[:5]
            for prefix in allowed:
                assert any(n.startswith(prefix) for n in got), f"`{term}` does not reach `{prefix}`"
    assert seen == set(table), "`MOVES` names other terms than the method has"


def test_steps_share_no_parameter_and_frozen_ones_never_get_a_gradient(case):
    method = case.copy()
    trained = [id(p) for step in method.steps for p in method.step_parameters(step)]
    assert sorted(trained) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    torch.stack(list(terms_of(method, case.batch()).values())).sum().backward()
    assert all(p.grad is None for p in method.parameters() if not p.requires_grad)


def trained_a_step(method, batch):
    """A step of each optimizer, but not what follows it."""
    torch.manual_seed(0)
    for step in method.steps:
        optimizer = torch.optim.SGD(method.step_parameters(step), 0.1)
        torch.stack(list(method(batch, step).values())).sum().backward()
        optimizer.step()
        method.zero_grad(set_to_none=True)
    return method


def test_steps_on_one_batch_lower_what_it_costs(case):
    """With the same draws in every step; what an adversary does to it aside."""
    method, batch, costs = case.copy(), case.batch(), []
    optimizers = {step: torch.optim.Adam(list(method.step_parameters(step)), 1e-3) for step in method.steps}
    for _ in range(15):
        torch.manual_seed(0)
        method.generator.manual_seed(0)
        for step, optimizer in optimizers.items():
            terms = method(batch, step)
            if step == "losses":
                costs.append(sum(term.item() for name, term in terms.items() if name != "adversarial"))
            optimizer.zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            optimizer.step()
    assert min(costs[1:]) < costs[0]


def test_validation_changes_nothing_and_leaves_nothing_behind(case):
    method, other, batch = case.copy().eval(), case.copy(), case.batch()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    with torch.no_grad():
        for step in method.steps:
            method(batch, step)
        method.panels(batch)
        method.representation(next(v for v in batch.values() if isinstance(v, torch.Tensor) and v.ndim >= 4))
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())
    method.generator.manual_seed(0)
    for m in (method.train(), other):
        trained_a_step(m, batch).after_step()
    assert all(map(torch.equal, method.state_dict().values(), other.state_dict().values()))


def test_a_network_that_follows_starts_as_a_copy_and_moves_after_a_step_only(case, monkeypatch):
    """By the formula that ``tests/networks/test_momentum.py`` holds, and towards a network that is trained."""
    method, followed = case.copy(), []

    def follow(self, online, momentum):
        assert 0 <= momentum <= 1 and all(p.requires_grad for p in online.parameters())
        followed.append((self, dict(online.named_parameters())))

    monkeypatch.setattr(MomentumNetwork, "follow", follow)
    trained_a_step(method, case.batch())
    assert not followed
    method.after_step()
    assert [copied for copied, _ in followed] == [m for m in method.modules() if isinstance(m, MomentumNetwork)]
    start = {id(p): built for p, built in zip(method.parameters(), case.copy().parameters(), strict=True)}
    for copied, online in followed:
        for key, own in copied.network.named_parameters():
            assert torch.equal(own, start[id(own)]), "neither gradient nor optimizer moves it"
            assert torch.equal(own, start[id(online[key])]), "a copy of what it follows"


def test_features_may_come_from_the_caller(case):
    method, shared, batch = case.copy(), case.copy(), case.batch()
    if not isinstance(method, SharesFeatures):
        return
    torch.manual_seed(0)
    whole = method.losses(batch)
    torch.manual_seed(0)
    given = shared.losses_from(shared.encoder(batch[method.shared_view]), batch)
    assert whole.keys() == given.keys() and all(torch.allclose(whole[k], given[k], atol=1e-6) for k in whole)
    for terms in (whole, given):
        torch.stack(list(terms.values())).sum().backward()
    for a, b in zip(method.parameters(), shared.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-5)


def test_a_batch_of_one_is_refused_where_samples_are_compared(case):
    """In training and validation; else its loss would be 0 or batch norm fail, without a word."""
    one = {k: v[: len(v) // 2] for k, v in case.batch().items()}
    for method in (case.copy(), case.copy().eval()):
        if name(case.path).startswith(COMPARING):
            with pytest.raises(ValueError, match=r"compares samples .*`batch_size` of at least 2, got 1"):
                terms_of(method, one)
        elif not method.training:
            assert all(term.isfinite() for term in terms_of(method, one).values())


def test_labels_and_tables_of_a_task_are_told(case):
    """Diagnostics and records of a run ask for them."""
    method, batch = case.copy(), case.batch()
    told = [m.num_labels for m in method.modules() if isinstance(m, Method) and m.num_labels]
    assert bool(told) == ("label" in batch)
    assert all(batch["label"].max() < number for number in told)
    tables = {key.rpartition(".")[2]: value for key, value in method.state_dict().items() if "permutations" in key}
    assert tables.keys() == method.tables().keys() and all(
        torch.equal(tables[k], t) for k, t in method.tables().items()
    )


def test_nothing_of_the_state_is_shared_or_lost(case):
    """Loading the state of one copy into a changed one gives the same losses."""
    method, other, batch = case.copy(), case.copy(), case.batch()
    state = {k: v.clone() for k, v in method.state_dict().items()}
    expected = terms_of(method, batch)
    method.after_step()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
    other.load_state_dict(state)
    got = terms_of(other, batch)
    assert all(torch.allclose(got[k], v) for k, v in expected.items())
