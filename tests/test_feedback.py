"""``balance: auto``: the control follows D's lead, and penalties, D's learning rate and augmentation follow it."""

from functools import partial

import pytest
import torch
from torch import nn

from poise.augment import AUGMENTS, Augmented
from poise.balance import BALANCES, Feedback
from poise.penalties import PENALTIES, Weighted
from poise.trainer import Trainer, make_fabric

ADAM = partial(torch.optim.Adam, lr=1e-3)


def held(accuracy: float, looks: int, **options: float) -> Feedback:
    policy = Feedback(**options)
    for step in range(looks * policy.every):
        policy.plan(step, {"d_accuracy": accuracy})
    return policy


def test_it_is_the_policy_auto() -> None:
    assert BALANCES["auto"] is Feedback


def test_inside_the_band_nothing_moves() -> None:
    policy = held(0.75, 100)
    assert (policy.penalty_factor, policy.d_lr_factor, policy.augment_more) == (1, 1, 0)


@pytest.mark.parametrize(("accuracy", "penalties", "lr", "augment"), [(1.0, 16, 0.25, 0.6), (0.3, 1 / 16, 4, 0)])
def test_levers_end_at_their_bounds(accuracy: float, penalties: float, lr: float, augment: float) -> None:
    policy = held(accuracy, 200)
    assert policy.penalty_factor == pytest.approx(penalties)
    assert policy.d_lr_factor == pytest.approx(lr)
    assert policy.augment_more == pytest.approx(augment)


def test_the_control_moves_by_its_gain() -> None:
    assert held(1.0, 3, gain=0.1).numbers()["balance_control"] == pytest.approx(0.3)


@pytest.mark.parametrize("options", [{"low": 0.9, "high": 0.8}, {"low": 0.4}, {"high": 1.0}, {"gain": 0}, {"every": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Feedback(**options)


def trainer_of(policy: Feedback, penalty: float = 0.5) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        nn.Linear(2, 3),
        nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)),
        z_dim=2,
        balance=policy,
        penalties={"r1": Weighted(PENALTIES["r1"], penalty)},
        g_optimizer=ADAM,
        d_optimizer=ADAM,
        fabric=make_fabric("cpu"),
    )


def test_levers_reach_the_players() -> None:
    """A step under the policy is one with the settings that its levers stand for."""
    real = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    pushed, plain = trainer_of(held(1.0, 200)), trainer_of(Feedback())
    numbers, others = pushed.step(real), plain.step(real)
    assert float(numbers["r1_loss"]) == pytest.approx(16 * float(others["r1_loss"]), rel=1e-4)
    rates = {role: player.optimizer.param_groups[0]["lr"] for role, player in pushed._players.items()}
    assert rates == pytest.approx({"D": 0.25e-3, "G": 1e-3})


def test_levers_reach_augmentation() -> None:
    images = torch.rand(4, 1, 8, 8)
    trainer = Trainer(
        nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, (1, 8, 8))),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
        z_dim=2,
        balance=held(1.0, 200),
        augment=Augmented(AUGMENTS["flip"](), 0.1, None),
        fabric=make_fabric("cpu"),
    )
    assert float(trainer.step(images)["augment_p"]) == pytest.approx(0.7)


def test_the_levers_are_in_the_state() -> None:
    real = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    first, second = trainer_of(held(1.0, 200)), trainer_of(Feedback())
    first.step(real)
    second.load_state_dict(first.state_dict())
    first.step(real)
    second.step(real)
    assert second._players["D"].optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)
    for left, right in zip(first.discriminator.parameters(), second.discriminator.parameters(), strict=True):
        assert torch.equal(left, right)
