"""Policies as tables of steps and signals to plans."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from poise.balance import BALANCES, Alternating, Balance, Plan, Simultaneous

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
]


@pytest.mark.parametrize(("make", "step", "plan"), PLANS)
def test_plan(make: Callable[[], Balance], step: int, plan: Plan) -> None:
    assert make().plan(step, {}) == plan


@pytest.mark.parametrize("name", BALANCES)
def test_contract(name: str) -> None:
    policy = BALANCES[name]()
    for step in range(20):
        plan = policy.plan(step, {"d_real": 1.0, "d_fake": -1.0})
        assert plan
        for phase in plan:
            assert phase
            assert set(phase) <= {"D", "G"}
            assert len(set(phase)) == len(phase)
    again = BALANCES[name]()
    again.load_state_dict(policy.state_dict())
    assert again.state_dict() == policy.state_dict()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Alternating(d_steps=0), "d_steps is 0; it must be at least 1"),
        (lambda: Alternating(g_steps=-1), "g_steps is -1; it must be at least 1"),
        (lambda: Simultaneous(pretrain_d=-1), "pretrain_d is -1; it must be at least 0"),
        (lambda: Alternating().load_state_dict({"k": 1}), "Alternating has no state"),
    ],
)
def test_out_of_range(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_knows_no_torch() -> None:
    code = "import sys, poise.balance, poise.runs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
