"""Wrappers against the algorithms of their papers, on the game that they are for, and the contract of all of them."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from poise.balance import Simultaneous
from poise.errors import CheckpointError, ConfigError, NonFiniteError
from poise.optimizers import (
    WRAPPERS,
    Extragradient,
    Lookahead,
    NegativeMomentum,
    Optimistic,
    Wrapper,
    match_memory_format,
)
from poise.trainer import Trainer, pack, unpack
from poise.trainer.guard import Guard

Make = Callable[[Sequence[Tensor]], Optimizer]

BASES: dict[str, Make] = {
    "sgd": partial(SGD, lr=0.1, momentum=0.5),
    "adam": partial(Adam, lr=0.05, betas=(0.5, 0.9)),
    "adam_fused": partial(Adam, lr=0.05, betas=(0.5, 0.9), fused=True),
    "rmsprop": partial(RMSprop, lr=0.02, momentum=0.5, centered=True),
}
WRAPS: dict[str, Callable[[Optimizer], Wrapper]] = {
    "optimistic": Optimistic,
    "negative_momentum": NegativeMomentum,
    "lookahead": partial(Lookahead, k=3, alpha=0.4),
    "extragradient": Extragradient,
}
NESTED: dict[str, Make] = {
    "lookahead_extragradient_adam": lambda it: Lookahead(Extragradient(Adam(it, lr=0.05)), k=3),
    "lookahead_optimistic_adam": lambda it: Lookahead(Optimistic(Adam(it, lr=0.05, fused=True)), k=2),
    "extragradient_optimistic_sgd": lambda it: Extragradient(Optimistic(SGD(it, lr=0.1))),
    "optimistic_extragradient_rmsprop": lambda it: Optimistic(Extragradient(RMSprop(it, lr=0.02))),
    "extragradient_twice_adam": lambda it: Extragradient(Extragradient(Adam(it, lr=0.05))),
    "all_four": lambda it: Lookahead(NegativeMomentum(Extragradient(Optimistic(SGD(it, lr=0.05))), -0.3), k=2),
}
ALL: dict[str, Make] = {
    f"{wrap}_{base}": lambda it, wrap=wrap, base=base: WRAPS[wrap](BASES[base](it))  # type: ignore[misc]
    for wrap in WRAPS
    for base in BASES
} | NESTED


def weight(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def follow(optimizer: Optimizer, w: Tensor, gradients: Sequence[float]) -> list[float]:
    """Where a weight goes when these are its gradients, wherever it stands."""
    path = []
    for gradient in gradients:
        w.grad = torch.full_like(w, gradient)
        optimizer.step()
        path.append(w.item())
    return path


# The formulas, by hand. SGD with learning rate 1 makes the displacements -1, -10, -100, ...


def test_optimistic_by_hand() -> None:
    w = weight(0.0)
    assert follow(Optimistic(SGD([w], lr=1.0)), w, [1, 10, 100]) == [-2, -2 - 20 + 1, -21 - 200 + 10]


def test_negative_momentum_by_hand() -> None:
    w = weight(0.0)
    assert follow(NegativeMomentum(SGD([w], lr=1.0)), w, [1, 10, 100]) == [-1, -1 - 10 + 0.5, -10.5 - 100 + 4.75]
    w = weight(0.0)
    assert follow(NegativeMomentum(SGD([w], lr=1.0), beta=0.25), w, [4, 8]) == [-4, -4 - 8 - 1]


def test_lookahead_by_hand() -> None:
    w = weight(0.0)
    path = follow(Lookahead(SGD([w], lr=1.0), k=3, alpha=0.25), w, [4, 4, 4, 8, 8, 8, 1])
    assert path == [-4, -8, -3, -11, -19, -3 - 6, -10]


def test_lookahead_with_alpha_1_is_its_base() -> None:
    one, other = weight(0.3), weight(0.3)
    gradients = [1.0, -2.0, 0.5, 3.0, 0.1]
    path = follow(Lookahead(Adam([one], lr=0.1), k=2, alpha=1.0), one, gradients)
    assert path == follow(Adam([other], lr=0.1), other, gradients)


def test_extragradient_by_hand() -> None:
    w = weight(0.0)
    assert follow(Extragradient(SGD([w], lr=1.0)), w, [1, 10, 100, 1000]) == [-1, -10, -110, -1010]


def test_positive_momentum_is_the_heavy_ball_of_sgd() -> None:
    one, other = weight(0.0), weight(0.0)
    gradients = [1.0, -2.0, 0.5, 3.0, 0.1]
    path = follow(NegativeMomentum(SGD([one], lr=0.1), beta=0.9), one, gradients)
    assert path == pytest.approx(follow(SGD([other], lr=0.1, momentum=0.9), other, gradients), rel=1e-12)


# The papers' algorithms with Adam, written once more.

ETA, BETA1, BETA2, EPS = 0.03, 0.5, 0.9, 1e-8


def field(w: Tensor) -> Tensor:
    """A game's gradient that turns and pulls: not that of any loss."""
    return torch.stack([w[1] + 0.1 * w[0], -w[0] + 0.2 * w[1] ** 3])


class HandWrittenAdam:
    """Bias-corrected moments; gives what Adam subtracts from the weights."""

    def __init__(self) -> None:
        self.m, self.v, self.t = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), 0

    def __call__(self, gradient: Tensor) -> Tensor:
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * gradient
        self.v = BETA2 * self.v + (1 - BETA2) * gradient**2
        m, v = self.m / (1 - BETA1**self.t), self.v / (1 - BETA2**self.t)
        return ETA * m / (v.sqrt() + EPS)


def descend(optimizer: Optimizer, w: Tensor, steps: int) -> None:
    for _ in range(steps):
        w.grad = field(w.detach())
        optimizer.step()


@pytest.mark.parametrize("fused", [False, True])
def test_optimistic_adam_is_algorithm_1_of_daskalakis(fused: bool) -> None:
    w = weight(1.0, -2.0)
    descend(Optimistic(Adam([w], lr=ETA, betas=(BETA1, BETA2), eps=EPS, fused=fused)), w, 200)
    theta, adam = torch.tensor([1.0, -2.0], dtype=torch.float64), HandWrittenAdam()
    last = torch.zeros(2, dtype=torch.float64)
    for _ in range(200):
        this = adam(field(theta))
        theta = theta - 2 * this + last
        last = this
    torch.testing.assert_close(w.detach(), theta, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("fused", [False, True])
def test_extragradient_adam_is_algorithm_4_of_gidel(fused: bool) -> None:
    w = weight(1.0, -2.0)
    descend(Extragradient(Adam([w], lr=ETA, betas=(BETA1, BETA2), eps=EPS, fused=fused)), w, 2 * 200)
    omega, adam = torch.tensor([1.0, -2.0], dtype=torch.float64), HandWrittenAdam()
    for _ in range(200):
        half = omega - adam(field(omega))  # moments at t - 1/2, corrected with 2t - 1
        omega = omega - adam(field(half))  # moments at t, corrected with 2t
    torch.testing.assert_close(w.detach(), omega, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrap", WRAPS)
def test_weight_decay_is_a_term_of_the_loss(wrap: str) -> None:
    one, other = weight(1.0, -2.0), weight(1.0, -2.0)
    decayed, plain = WRAPS[wrap](SGD([one], lr=0.1, weight_decay=0.5)), WRAPS[wrap](SGD([other], lr=0.1))
    for _ in range(12):
        one.grad = field(one.detach())
        other.grad = field(other.detach()) + 0.5 * other.detach()
        decayed.step()
        plain.step()
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


# The bilinear game, min over x and max over y of x y, whose only equilibrium is (0, 0).


def distance(wrap: Callable[[Optimizer], Optimizer], lr: float, updates: int, simultaneous: bool = True) -> float:
    """How far from the equilibrium two players with SGD are after so many updates, from a distance of 1."""
    x, y = weight(0.6), weight(0.8)
    min_x, max_y = wrap(SGD([x], lr=lr)), wrap(SGD([y], lr=lr))
    for _ in range(updates * getattr(min_x, "evaluations", 1)):
        x.grad, y.grad = y.detach().clone(), -x.detach().clone()
        min_x.step()
        if not simultaneous:
            y.grad = -x.detach().clone()
        max_y.step()
    return math.hypot(x.item(), y.item())


def test_gradient_descent_leaves_the_equilibrium() -> None:
    assert distance(lambda base: base, 0.3, 100) == pytest.approx((1 + 0.3**2) ** 50)
    assert 0.5 < distance(lambda base: base, 0.3, 1000, simultaneous=False) < 2  # in turn, it circles for ever


def test_extragradient_converges_at_its_rate() -> None:
    # Each update multiplies x + iy by 1 - lr^2 + i lr.
    assert distance(Extragradient, 0.3, 100) == pytest.approx((1 - 0.3**2 + 0.3**4) ** 50)
    assert distance(Extragradient, 0.3, 300) < 1e-5


def test_optimistic_converges() -> None:
    assert distance(Optimistic, 0.3, 300) < 1e-6


def test_lookahead_converges_at_its_rate() -> None:
    # Each k updates multiply x + iy by 1 - alpha + alpha (1 + i lr)^k.
    factor = abs(0.5 + 0.5 * (1 + 0.3j) ** 5)
    assert distance(Lookahead, 0.3, 5 * 40) == pytest.approx(factor**40)
    assert distance(Lookahead, 0.3, 5 * 80) < 1e-5


def test_negative_momentum_converges_in_turn() -> None:
    assert distance(NegativeMomentum, 0.5, 400, simultaneous=False) < 1e-5
    assert distance(NegativeMomentum, 0.5, 400) > 100  # at once it does not, which is why its page says so
    assert distance(partial(NegativeMomentum, beta=0.5), 0.5, 100, simultaneous=False) > 1e6


def test_lookahead_over_extragradient_beats_either() -> None:
    both = distance(lambda base: Lookahead(Extragradient(base), k=5), 0.3, 100)
    assert both < min(distance(Extragradient, 0.3, 100), distance(Lookahead, 0.3, 100))


# The contract.


def test_every_wrapper_is_tested() -> None:
    assert set(WRAPS) == set(WRAPPERS)


@pytest.mark.parametrize("name", WRAPPERS)
def test_contract(name: str) -> None:
    base = Adam([weight(1.0)], lr=0.1, fused=True)
    wrapper = WRAPPERS[name](base)
    assert isinstance(wrapper, Optimizer)
    assert wrapper.base is base
    assert wrapper.param_groups is base.param_groups
    assert wrapper.defaults["lr"] == 0.1
    assert wrapper.evaluations == WRAPPERS[name].evaluations == (2 if name == "extragradient" else 1)
    assert repr(wrapper).startswith(f"{WRAPPERS[name].__name__}(Adam (")
    assert WRAPPERS[name].__doc__
    assert "Source:" in WRAPPERS[name].__doc__


def test_settings_are_shown() -> None:
    assert repr(Lookahead(SGD([weight(1.0)]), k=7, alpha=0.8)).endswith(", k=7, alpha=0.8)")
    assert repr(NegativeMomentum(SGD([weight(1.0)]))).endswith(", beta=-0.5)")


def test_evaluations_multiply() -> None:
    base = SGD([weight(1.0)])
    assert Lookahead(Extragradient(Optimistic(base))).evaluations == 2
    assert Optimistic(Extragradient(base)).evaluations == 2
    assert Extragradient(Extragradient(base)).evaluations == 4
    assert Extragradient.evaluations == 2


def test_wrappers_look_at_whole_updates_of_their_base() -> None:
    """Lookahead over extragradient takes no weight back from an extrapolated point."""
    w = weight(0.0)
    optimizer = Lookahead(Extragradient(SGD([w], lr=1.0)), k=3, alpha=0.5)
    path = follow(optimizer, w, [100, 1, 100, 1, 100, 2, 100, 1])
    assert path == [-100, -1, -101, -2, -102, -4 / 2, -102, -3]


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_learning_rate_that_is_set_takes_effect(wrap: str) -> None:
    w = weight(1.0)
    optimizer = WRAPS[wrap](SGD([w], lr=0.1))
    optimizer.load_state_dict(deepcopy(optimizer.state_dict()))
    assert optimizer.param_groups is optimizer.base.param_groups
    optimizer.param_groups[0]["lr"] = 0.0
    assert follow(optimizer, w, [1, 2, 3, 4]) == [1, 1, 1, 1]


@pytest.mark.parametrize("set_to_none", [False, True])
@pytest.mark.parametrize("wrap", WRAPS)
def test_zero_grad(wrap: str, set_to_none: bool) -> None:
    w = weight(1.0)
    w.grad = torch.ones_like(w)
    WRAPS[wrap](SGD([w])).zero_grad(set_to_none)
    assert w.grad is None if set_to_none else w.grad.item() == 0


@pytest.mark.parametrize("name", ALL)
def test_weights_without_gradients_stay(name: str) -> None:
    always, never, first = weight(1.0), weight(2.0), weight(3.0)
    optimizer = ALL[name]([always, never, first])
    evaluations = optimizer.evaluations
    first.grad = torch.ones_like(first)
    for _ in range(12 * evaluations):  # over several spans of each wrapper
        always.grad = torch.ones_like(always)
        optimizer.step()
        if optimizer.state_dict()["evaluation"] == 0:
            first.grad = None
            resting = first.item()
    for _ in range(12 * evaluations):
        optimizer.step()
        assert first.item() == resting
    assert never.item() == 2.0
    assert first.item() != 3.0
    assert always.item() != 1.0


def test_a_weight_goes_on_where_it_stopped() -> None:
    """What is remembered of a weight waits for its next gradient."""
    for wrap in (Optimistic, NegativeMomentum):
        one, other = weight(0.0), weight(0.0)
        optimizer = wrap(SGD([one], lr=1.0))
        straight = follow(wrap(SGD([other], lr=1.0)), other, [1, 10])
        assert follow(optimizer, one, [1]) == straight[:1]
        one.grad = None
        optimizer.step()
        assert follow(optimizer, one, [10]) == straight[1:]


def test_a_gradient_in_one_evaluation_only() -> None:
    """Extragradient takes back an extrapolation that is not followed up, and takes up a weight that joins late."""
    early, late = weight(5.0), weight(7.0)
    optimizer = Extragradient(SGD([early, late], lr=1.0))
    early.grad = torch.ones_like(early)
    optimizer.step()
    assert (early.item(), late.item()) == (4, 7)
    early.grad, late.grad = None, torch.ones_like(late)
    optimizer.step()
    assert (early.item(), late.item()) == (5, 6)


def test_schedulers_and_step_hooks() -> None:
    w = weight(0.0)
    optimizer = Optimistic(SGD([w], lr=1.0))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    path = []
    for _ in range(3):
        path += follow(optimizer, w, [1])
        scheduler.step()
    assert path == [-2, -2 - 1 + 1, -2 - 0.5 + 0.5]
    assert seen == ["before", "after"] * 3


def test_state_hooks() -> None:
    optimizer = Optimistic(SGD([weight(0.0)], lr=1.0))
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, state: state | {"note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda _, state: {k: v for k, v in state.items() if k != "old"})
    optimizer.register_load_state_dict_post_hook(lambda _: seen.append("loaded"))
    state = optimizer.state_dict()
    assert state["note"] == 1
    optimizer.load_state_dict(state)
    assert seen == ["save", "loaded"]


def test_a_group_that_joins() -> None:
    one, other = weight(0.0), weight(0.0)
    optimizer = Optimistic(SGD([one], lr=1.0))
    follow(optimizer, one, [1])
    optimizer.add_param_group({"params": [other], "lr": 0.5})
    assert len(optimizer.param_groups) == 2
    assert follow(optimizer, other, [1, 10]) == [-1, -1 - 10 + 0.5]


def test_a_closure_is_called_once_and_may_differentiate() -> None:
    w = weight(3.0)
    optimizer = Extragradient(SGD([w], lr=0.25))
    losses = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        losses.append(loss.item())
        return loss.item()

    assert optimizer.step(closure) == 9
    assert optimizer.step(closure) == 2.25
    assert losses == [9, 2.25]
    assert w.item() == 3 - 0.25 * 2 * 1.5


@pytest.mark.parametrize("name", ALL)
def test_a_deep_copy_goes_on_alike(name: str) -> None:
    w = weight(1.0, -2.0)
    optimizer = ALL[name]([w])
    descend(optimizer, w, 7)
    copied, again = deepcopy((w, optimizer))
    descend(optimizer, w, 7)
    descend(again, copied, 7)
    assert again is not optimizer
    assert torch.equal(copied, w)


def test_the_guard_takes_no_wrapper_for_one_that_can_skip() -> None:
    """A fused base could skip an update by a flag on the device; its wrapper would not know of it."""
    guard = Guard(torch.device("cpu"), deferred=True)
    guard.adopt([Optimistic(Adam([weight(1.0)], fused=True))])
    with pytest.raises(NonFiniteError):
        guard.check("D", torch.tensor(math.nan), torch.tensor(1.0))


# The state.


def network() -> list[nn.Parameter]:
    """Weights of several shapes, one of them channels-last, in float32."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((3, 2), (5,), (2, 3, 2, 2), ())
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    weights[2].data = weights[2].data.to(memory_format=torch.channels_last)
    return weights


def train(weights: Sequence[Tensor], optimizer: Optimizer, first: int, last: int) -> None:
    """Steps number ``first`` to ``last``; the gradients depend on the weights and the number alone."""
    for number in range(first, last):
        optimizer.zero_grad()
        for place, it in enumerate(weights):
            if place != 1 or number % 3:  # one weight has a gradient at times
                it.grad = torch.cos(3 * it.detach() + number) + 0.1 * it.detach()
        optimizer.step()


def bits(weights: Sequence[Tensor]) -> list[Tensor]:
    return [it.detach().clone().view(torch.int32) for it in weights]


@pytest.mark.parametrize("name", ALL)
def test_resume_equals_straight_bit_for_bit(name: str) -> None:
    """Also from the middle of an update or of a span of Lookahead."""
    make, end, cuts = ALL[name], 17, (0, 3, 6, 8, 13)
    weights = network()
    optimizer = make(weights)
    saved: dict[int, bytes] = {}
    for number in range(end):
        if number in cuts:
            saved[number] = pack({"weights": list(weights), "optimizer": optimizer.state_dict()})
        train(weights, optimizer, number, number + 1)
    for cut, content in saved.items():
        state = unpack(content)
        again = network()
        with torch.no_grad():
            for it, value in zip(again, state["weights"], strict=True):
                it.copy_(value)
        resumed = make(again)
        resumed.load_state_dict(state["optimizer"])
        train(again, resumed, cut, end)
        assert all(map(torch.equal, bits(again), bits(weights))), f"resumed at {cut}"
        assert pack(resumed.state_dict()) == pack(optimizer.state_dict())


def test_the_state_holds_the_base_s_own_and_no_more_of_a_weight_than_is_needed() -> None:
    weights = network()
    base = Adam(weights)
    optimizer = Lookahead(base, k=2)
    train(weights, optimizer, 1, 2)
    state = optimizer.state_dict()
    assert state["class"] == "Lookahead(Adam)"
    assert state["evaluation"] == 1
    assert state["base"].keys() == base.state_dict().keys()
    assert {place: set(memory) for place, memory in state["weights"].items()} == {
        place: {"start"} for place in range(4)
    }
    train(weights, optimizer, 2, 3)  # slow and fast weights are equal now
    assert optimizer.state_dict()["evaluation"] == 0
    assert optimizer.state_dict()["weights"] == {}


def test_a_loaded_state_is_a_copy_in_the_weight_s_format() -> None:
    weights = network()
    optimizer = Extragradient(SGD(weights, lr=0.1))
    train(weights, optimizer, 1, 2)
    state = unpack(pack(optimizer.state_dict()))  # contiguous
    before = deepcopy(state)
    again = network()
    resumed = Extragradient(SGD(again, lr=0.1))
    resumed.load_state_dict(state)
    assert resumed.state[again[2]]["start"].is_contiguous(memory_format=torch.channels_last)
    train(again, resumed, 2, 5)
    assert pack(state) == pack(before)


def test_loading_forgets_what_was_remembered() -> None:
    fresh = Lookahead(SGD([weight(0.0)], lr=1.0), k=2, alpha=0.5).state_dict()
    w = weight(0.0)
    optimizer = Lookahead(SGD([w], lr=1.0), k=2, alpha=0.5)
    follow(optimizer, w, [1])
    optimizer.load_state_dict(fresh)
    assert follow(optimizer, w, [1, 1]) == [-2, -2]  # a start at -1


def test_a_fused_step_is_right_after_its_state_lay_otherwise_in_memory() -> None:
    weights = network()
    optimizer = BASES["adam_fused"](weights)
    train(weights, optimizer, 1, 6)
    again = deepcopy(weights)
    resumed = BASES["adam_fused"](again)
    resumed.load_state_dict(unpack(pack(optimizer.state_dict())))  # contiguous
    match_memory_format(resumed)
    assert all(resumed.state[it]["exp_avg"].stride() == it.stride() for it in again)
    train(weights, optimizer, 6, 12)
    train(again, resumed, 6, 12)
    assert all(map(torch.equal, bits(again), bits(weights)))


def test_a_shorter_span_than_when_it_was_saved_ends_at_once() -> None:
    w, v = weight(0.0), weight(0.0)
    optimizer = Lookahead(Extragradient(SGD([w], lr=1.0)), k=10)
    follow(optimizer, w, [0, 1] * 6)
    shorter = Lookahead(Extragradient(SGD([v], lr=1.0)), k=3)
    v.data.copy_(w.data)
    shorter.load_state_dict(deepcopy(optimizer.state_dict()))
    assert follow(shorter, v, [0, 1, 0, 1]) == [-6, -3.5, -3.5, -4.5]


@pytest.mark.parametrize(
    ("saved", "now", "words"),
    [
        (Adam, lambda it: Optimistic(Adam(it)), r"an optimizer without a wrapper, and this is Optimistic\(Adam\)"),
        (
            lambda it: Optimistic(Adam(it)),
            lambda it: Lookahead(Adam(it)),
            r"Optimistic\(Adam\), and this is Lookahead\(A",
        ),
        (
            lambda it: Optimistic(Adam(it)),
            lambda it: Optimistic(SGD(it)),
            r"Optimistic\(Adam\), and .* Optimistic\(SGD\)",
        ),
        (
            lambda it: Lookahead(Extragradient(SGD(it))),
            lambda it: Lookahead(Optimistic(SGD(it))),
            r"Lookahead\(Extragradient\(SGD\)\), and this is Lookahead\(Optimistic\(SGD\)\), which cannot take it",
        ),
    ],
)
def test_a_state_of_another_optimizer_is_refused(saved: Make, now: Make, words: str) -> None:
    w, v = weight(1.0, 2.0), weight(1.0, 2.0)
    optimizer = saved([w])
    descend(optimizer, w, 3)
    with pytest.raises(ValueError, match=words):
        now([v]).load_state_dict(optimizer.state_dict())


def test_a_state_of_other_weights_is_refused_and_nothing_loaded() -> None:
    w, v = weight(1.0, 2.0), weight(1.0)
    optimizer, other = Optimistic(Adam([w])), Optimistic(Adam([v]))
    descend(optimizer, w, 3)
    with pytest.raises(
        ValueError, match=r"weight 0 of the saved Optimistic\(Adam\) has shape \(2,\), here it has \(1,\)"
    ):
        other.load_state_dict(optimizer.state_dict())
    assert not other.base.state
    both = Optimistic(SGD([weight(1.0), w], lr=0.1))
    descend(both, w, 1)
    with pytest.raises(ValueError, match=r"weight 1 .* has shape \(2,\), there is none here; load it into"):
        Optimistic(SGD([v], lr=0.1)).load_state_dict(both.state_dict())


# In a trainer.


def trainer(make: Make) -> Trainer:
    torch.manual_seed(2)
    generator, discriminator = nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    return Trainer(
        generator, discriminator, z_dim=3, balance=Simultaneous(), g_optimizer=make, d_optimizer=make, seed=5
    )


@pytest.mark.parametrize("name", ["optimistic_adam_fused", "lookahead_extragradient_adam"])
def test_a_trainer_that_resumes_equals_one_that_does_not(name: str) -> None:
    make = ALL[name]
    data = torch.randn(64, 2, generator=torch.Generator().manual_seed(3))
    straight, first, second = trainer(make), trainer(make), trainer(make)
    straight.fit(data, steps=11, batch=8)
    first.fit(data, steps=4, batch=8)
    second.load_state_dict(unpack(pack(first.state_dict())))
    second.fit(data, steps=11, batch=8)
    assert straight.updates == second.updates == {"D": 11, "G": 11}
    for one, other in ((straight.generator, second.generator), (straight.discriminator, second.discriminator)):
        assert all(map(torch.equal, bits(list(one.parameters())), bits(list(other.parameters()))))
    with pytest.raises(CheckpointError, match="does not fit"):
        trainer(lambda it: Optimistic(SGD(it))).load_state_dict(first.state_dict())


# What is refused.


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda it: NegativeMomentum(SGD(it), beta=-1.0), "beta is -1.0; it must be above -1 and below 1"),
        (lambda it: NegativeMomentum(SGD(it), beta=math.nan), "beta is nan; it must be above -1 and below 1"),
        (lambda it: Lookahead(SGD(it), k=0), "k is 0; it must be at least 1"),
        (lambda it: Lookahead(SGD(it), alpha=0.0), "alpha is 0.0; it must be above 0 and at most 1"),
        (lambda it: Lookahead(SGD(it), alpha=1.1), "alpha is 1.1; it must be above 0 and at most 1"),
    ],
)
def test_out_of_range(make: Make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make([weight(1.0)])


@pytest.mark.parametrize("name", WRAPPERS)
def test_only_optimizers_that_step_once_can_be_wrapped(name: str) -> None:
    bad: Any
    for bad, words in (
        (Adam, "was given the class Adam; give an optimizer, such as"),
        ([weight(1.0)], "was given a list; give an optimizer, such as"),
        (torch.optim.LBFGS([weight(1.0)]), "cannot wrap LBFGS, which moves the weights many times in a step"),
    ):
        with pytest.raises(ConfigError, match=f"{WRAPPERS[name].__name__} {words}"):
            WRAPPERS[name](bad)


def test_decoupled_weight_decay_is_part_of_the_displacement() -> None:
    w = weight(2.0)
    optimizer = Optimistic(AdamW([w], lr=0.5, weight_decay=0.5))
    assert follow(optimizer, w, [0]) == [2 - 2 * 0.5 * 0.5 * 2]


# An update that is left out.


@pytest.mark.parametrize("used", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: Extragradient(SGD(weights, lr=0.1)),
        lambda weights: Extragradient(Extragradient(SGD(weights, lr=0.1))),
        lambda weights: Lookahead(Extragradient(SGD(weights, lr=0.1)), k=2),
        lambda weights: Extragradient(Optimistic(SGD(weights, lr=0.1))),
    ],
)
def test_an_update_that_is_abandoned_leaves_the_weights_where_it_began(wrap: Any, used: int) -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = wrap([weight])

    def use(count: int) -> None:
        for _ in range(count):
            weight.grad = weight.detach() ** 2
            optimizer.step()

    use(optimizer.evaluations)
    start = weight.detach().clone()
    use(min(used, optimizer.evaluations - 1))
    optimizer.abandon()
    torch.testing.assert_close(weight.detach(), start)
    optimizer.abandon()  # between updates there is nothing to leave out
    torch.testing.assert_close(weight.detach(), start)
    use(optimizer.evaluations)
    assert not torch.equal(weight.detach(), start)
