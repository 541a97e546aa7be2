"""Policies as tables of steps and signals to plans."""

import json
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from poise.balance import (
    BALANCES,
    Accumulate,
    AdaptiveCritic,
    Alternating,
    Balance,
    Balanced,
    LossRatio,
    Plan,
    ProportionalControl,
    Simultaneous,
)
from poise.testing import check_balance

D, G, BOTH = ("D",), ("G",), ("D", "G")

PLANS: list[tuple[Callable[[], Balance], int, Plan]] = [
    (lambda: Alternating(), 0, (D, G)),
    (lambda: Alternating(), 1000, (D, G)),
    (lambda: Alternating(d_steps=5), 3, (D, D, D, D, D, G)),
    (lambda: Alternating(d_steps=1, g_steps=2), 3, (D, G, G)),
    (lambda: Alternating(pretrain_d=2), 1, (D,)),
    (lambda: Alternating(pretrain_d=2), 2, (D, G)),
    (lambda: Simultaneous(), 0, (BOTH,)),
    (lambda: Simultaneous(pretrain_d=1), 0, (D,)),
    (lambda: Simultaneous(pretrain_d=1), 1, (BOTH,)),
    (lambda: Accumulate(n=1), 0, (D, G)),
    (lambda: Accumulate(n=3, combine="agree"), 0, (D, D, D, G)),
    (lambda: Accumulate(n=3, pretrain_d=1), 0, (D,)),
]

# A policy, and what it is told and plans step by step: signals by one letter each.
LETTERS = {"r": "d_real", "f": "d_fake", "n": "d_input_grad_norm", "d": "d_loss", "g": "g_loss"}
SEQUENCES: list[tuple[Callable[[], Balance], list[tuple[dict[str, float], Plan]]]] = [
    # Balanced: D while reals do not score above fakes by the imbalance; ties train G.
    (
        lambda: Balanced(imbalance=0.5),
        [
            ({"r": 0.0, "f": 0.0}, (D,)),
            ({"r": 0.4, "f": 0.0}, (D,)),
            ({"r": 0.5, "f": 0.0}, (G,)),
            ({"r": 3.0, "f": 0.0}, (G,)),
            ({"r": -1.0, "f": -3.0}, (G,)),
        ],
    ),
    # An imbalance of 0 or below means what it says.
    (lambda: Balanced(imbalance=0.0), [({"r": 0.0, "f": 0.0}, (G,)), ({"r": -0.1, "f": 0.0}, (D,))]),
    (lambda: Balanced(imbalance=-1.0), [({"r": -0.9, "f": 0.0}, (G,)), ({"r": -1.1, "f": 0.0}, (D,))]),
    (
        lambda: Balanced(pretrain_d=2),
        [({"r": 9.0, "f": 0.0}, (D,)), ({"r": 9.0, "f": 0.0}, (D,)), ({"r": 9.0, "f": 0.0}, (G,))],
    ),
    # D when fakes score higher than before; the score before is that of every step, whoever moved. No imbalance here.
    (
        lambda: Balanced(imbalance=1000.0, d_fake_balance=True),
        [
            ({"r": 0.0, "f": 1.0}, (D,)),
            ({"r": 0.0, "f": 1.0}, (G,)),
            ({"r": 0.0, "f": 1.5}, (D,)),
            ({"r": 0.0, "f": 1.2}, (G,)),
            ({"r": 0.0, "f": 1.3}, (D,)),
        ],
    ),
    # The pretraining comes first and sees no scores.
    (
        lambda: Balanced(pretrain_d=1, d_fake_balance=True),
        [({"r": 0.0, "f": 5.0}, (D,)), ({"r": 0.0, "f": 1.0}, (D,)), ({"r": 0.0, "f": 0.9}, (G,))],
    ),
    # One step more while the norm is off, one fewer while it is not, within bounds; momentum 0 follows the last norm.
    (
        lambda: AdaptiveCritic(min=1, max=3, target=1.0, tolerance=0.25, momentum=0.0),
        [
            ({}, (D, G)),
            ({"n": 2.0}, (D, D, G)),
            ({"n": 0.5}, (D, D, D, G)),
            ({"n": 2.0}, (D, D, D, G)),
            ({"n": 1.25}, (D, D, G)),
            ({"n": 1.0}, (D, G)),
            ({"n": 1.0}, (D, G)),
        ],
    ),
    # A running mean: 2.0, then 0.5 * 2.0 + 0.5 * 1.0 = 1.5, then 1.25.
    (
        lambda: AdaptiveCritic(min=2, max=9, target=1.0, tolerance=0.25, momentum=0.5),
        [({}, (D, D, G)), ({"n": 2.0}, (D, D, D, G)), ({"n": 1.0}, (D, D, D, D, G)), ({"n": 1.0}, (D, D, D, G))],
    ),
    # Relative changes: D 1 -> 0.5 is 0.5, G 1 -> 0.9 is 0.1: with lambda 2, D; then D 0.5 -> 0.45 is 0.1 < 0.2: G.
    (
        lambda: LossRatio(2.0),
        [
            ({"d": 1.0, "g": 1.0}, (D, G)),
            ({"d": 0.5, "g": 0.9}, (D,)),
            ({"d": 0.45, "g": 0.81}, (G,)),
            ({"d": 0.45, "g": 0.9}, (G,)),
            ({"d": 0.9, "g": 0.9}, (D,)),
        ],
    ),
    (lambda: LossRatio(pretrain_d=1), [({}, (D,)), ({"d": 1.0, "g": 1.0}, (D, G))]),
    # A loss that stays what it is has not changed, 0 too; one that leaves 0 has changed infinitely.
    (
        lambda: LossRatio(),
        [
            ({"d": 0.0, "g": 1.0}, (D, G)),
            ({"d": 0.0, "g": 1.0}, (G,)),
            ({"d": 0.1, "g": 2.0}, (D,)),
            ({"d": 0.1, "g": 2.1}, (G,)),
        ],
    ),
    (lambda: ProportionalControl(), [({}, (D, G)), ({"r": -1.0, "f": -2.0}, (D, G))]),
]


@pytest.mark.parametrize(("make", "rows"), SEQUENCES)
def test_signals_to_plans(make: Callable[[], Balance], rows: list[tuple[dict[str, float], Plan]]) -> None:
    policy = make()
    for step, (given, plan) in enumerate(rows):
        signals = {LETTERS[letter]: value for letter, value in given.items()}
        assert policy.plan(step, signals) == plan, f"step {step}"


@pytest.mark.parametrize(("make", "rows"), SEQUENCES)
def test_a_state_goes_on(make: Callable[[], Balance], rows: list[tuple[dict[str, float], Plan]]) -> None:
    """Saved through JSON after every step, and loaded into a new policy."""
    state = make().state_dict()
    for step, (given, plan) in enumerate(rows):
        policy = make()
        policy.load_state_dict(json.loads(json.dumps(state)))
        assert policy.plan(step, {LETTERS[letter]: value for letter, value in given.items()}) == plan, f"step {step}"
        state = policy.state_dict()


def test_no_player_waits_long_for_losses_that_are_noise() -> None:
    policy, noise, waited, longest = LossRatio(), random.Random(0), {D: 0, G: 0}, 0
    policy.plan(0, {"d_loss": 1.0, "g_loss": 1.0})
    for step in range(5000):
        (mover,) = policy.plan(step, {"d_loss": noise.gauss(1, 0.1), "g_loss": noise.gauss(2, 0.1)})
        waited = {role: 0 if role == mover else count + 1 for role, count in waited.items()}
        longest = max(longest, *waited.values())
    assert longest < 50


def test_proportional_control() -> None:
    """k = k + lambda (gamma L(x) - L(G(z))), held within [0, 1]; M = L(x) + |gamma L(x) - L(G(z))|."""
    policy = ProportionalControl(gamma=0.5, lambda_k=0.1)
    assert policy.fake_weight == 0
    policy.plan(0, {})
    assert policy.numbers() == {"k": 0.0}
    policy.plan(1, {"d_real": -4.0, "d_fake": -1.0})
    assert policy.numbers() == {"k": pytest.approx(0.1), "convergence": 5.0}
    assert policy.fake_weight == pytest.approx(0.1)
    policy.plan(2, {"d_real": -1.0, "d_fake": -2.0})
    assert policy.numbers() == {"k": 0.0, "convergence": 2.5}
    policy.plan(3, {"d_real": -40.0, "d_fake": -1.0})
    assert policy.fake_weight == 1.0


@pytest.mark.parametrize("scores", [(0.5, -1.0), (-1.0, 0.5)])
def test_proportional_control_warns_once_of_scores_that_are_no_errors(scores: tuple[float, float]) -> None:
    policy = ProportionalControl()
    policy.plan(0, {"d_real": -1.0, "d_fake": 0.0})
    signals = dict(zip(("d_real", "d_fake"), scores, strict=True))
    with pytest.warns(UserWarning, match="where errors are at least 0: take a critic that is an autoencoder, such as"):
        policy.plan(1, signals)
    policy.plan(2, signals)  # a second warning would be an error


def test_adaptive_critic_logs_its_steps() -> None:
    policy = AdaptiveCritic(min=2)
    policy.plan(0, {"d_input_grad_norm": 9.0})
    assert policy.numbers() == {"d_steps": 3.0}


@pytest.mark.parametrize(("make", "step", "plan"), PLANS)
def test_plan(make: Callable[[], Balance], step: int, plan: Plan) -> None:
    assert make().plan(step, {}) == plan


# Every policy, and every form of it that an option chooses.
POLICIES: dict[str, Callable[[], Balance]] = {
    **BALANCES,
    "alternating 5 to 2": lambda: Alternating(d_steps=5, g_steps=2, pretrain_d=3),
    "simultaneous after a pretraining": lambda: Simultaneous(pretrain_d=3),
    "balanced by the fakes": lambda: Balanced(pretrain_d=3, d_fake_balance=True),
    "accumulate by agreement": lambda: Accumulate(n=4, combine="agree"),
    "adaptive critic in haste": lambda: AdaptiveCritic(min=2, max=4, tolerance=0.5, momentum=0.0, pretrain_d=3),
    "loss ratio": lambda: LossRatio(0.5, pretrain_d=3),
    "proportional control in haste": lambda: ProportionalControl(gamma=0.3, lambda_k=0.5, pretrain_d=3),
}


@pytest.mark.parametrize("name", POLICIES)
def test_contract(name: str) -> None:
    check_balance(POLICIES[name])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Alternating(d_steps=0), "d_steps is 0; it must be at least 1"),
        (lambda: Alternating(g_steps=-1), "g_steps is -1; it must be at least 1"),
        (lambda: Simultaneous(pretrain_d=-1), "pretrain_d is -1; it must be at least 0"),
        (lambda: Alternating().load_state_dict({"k": 1}), r"Alternating has the state \[\], but was given \['k'\]"),
        (lambda: Balanced(imbalance=float("nan")), "imbalance is nan; it must be finite"),
        (lambda: Accumulate(n=0), "n is 0; it must be at least 1"),
        (lambda: Accumulate(combine="sum"), "combine is 'sum'; it must be one of average, agree, variance"),
        (lambda: AdaptiveCritic(min=0), "min is 0; it must be at least 1"),
        (lambda: AdaptiveCritic(min=3, max=2), "max is 2, min is 3; max must be at least min"),
        (lambda: AdaptiveCritic(tolerance=-1.0), "tolerance is -1.0; it must be at least 0"),
        (lambda: AdaptiveCritic(momentum=1.0), "momentum is 1.0; it must be at least 0 and below 1"),
        (lambda: LossRatio(0.0), "lambda is 0.0; it must be above 0"),
        (lambda: ProportionalControl(gamma=2.0), "gamma is 2.0; it must be between 0 and 1"),
        (lambda: ProportionalControl(lambda_k=0.0), "lambda_k is 0.0; it must be above 0"),
    ],
)
def test_out_of_range(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_knows_no_torch() -> None:
    code = "import sys, poise.balance, poise.runs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
