"""What holds for every method: which parameters a term moves, and what validation must not touch."""

import pytest
import torch
from method_cases import method_tests, terms_of

from monai_ssl.methods import Method

pytestmark = pytest.mark.bundle


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
            got = moved(method, step, batch, term) & own
            assert got, f"`{term}` moves nothing"
            allowed = tuple(table[term])
            assert all(n.startswith(allowed) for n in got), sorted(n for n in got if not n.startswith(allowed))[:5]
            for prefix in allowed:
                assert any(n.startswith(prefix) for n in got), f"`{term}` does not reach `{prefix}`"
    assert seen == set(table), "`MOVES` names other terms than the method has"


def test_frozen_parameters_never_get_a_gradient(case):
    method = case.copy()
    torch.stack(list(terms_of(method, case.batch()).values())).sum().backward()
    assert all(p.grad is None for p in method.parameters() if not p.requires_grad)


def test_validation_changes_nothing(case):
    method, batch = case.copy().eval(), case.batch()
    before = {k: v.clone() for k, v in method.state_dict().items()}
    with torch.no_grad():
        for step in method.steps:
            method(batch, step)
        method.panels(batch)
        method.representation(next(v for v in batch.values() if isinstance(v, torch.Tensor) and v.ndim >= 4))
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())


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
