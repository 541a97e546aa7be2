"""The contract of balance policies."""

import json
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

from poise.balance import Balance, Plan
from poise.errors import ConfigError, nearest
from poise.penalties import MEASURES
from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, require_kind
from poise.trainer.checks import checked_plan

__all__ = ["check_balance"]

# What the trainer knows after a move of each player, by its log names; penalties add theirs.
_OF_D = ("d_loss", "d_loss_total", "d_real", "d_fake", "d_accuracy", "d_grad_norm")
_OF_G = ("g_loss", "g_loss_total", "d_fake_g", "g_grad_norm")

# Measured of the step to come, and so known always, for a policy that looks ahead.
_AHEAD = ("d_real", "d_fake", "d_loss", "g_loss")


@seeded()
def check_balance(make: Callable[[], Balance], *, steps: int = 127, signals: Collection[str] = ()) -> None:
    """Check that a balance policy keeps what every policy promises.

    - Plans are phases of ``"D"`` and ``"G"``, whether no signals are known yet, those of D, or all; whatever they are.
    - ``numbers()`` are numbers, and the signals in ``needs`` are such as can be measured.
    - Two policies share no state.
    - ``state_dict()`` is made of JSON values, and is a copy: it does not change as the policy goes on.
    - A policy that a state was loaded into goes on as the one that it was saved from.

    Args:
        make: gives a new policy in each call, such as its class.
        steps: how many to plan; more than those of its pretraining.
        signals: names of further signals that it reads, such as ``r1_loss``.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    policy = _made(make)
    unknown = sorted(policy.needs - set(MEASURES))
    if unknown:
        raise broken(
            "the policy's needs",
            f"signals that can be measured: {', '.join(MEASURES)}",
            f"'{unknown[0]}' {nearest(unknown[0], MEASURES)}",
            "signals of the log are there without being asked for: leave them out of needs",
        )
    names = [*_OF_G, *signals, *sorted(policy.needs)]
    rows = [_signals(step, names, policy.looks_ahead) for step in range(steps)]
    begin = _state(policy, 0)
    straight = list(_path(policy, rows))
    _check_independence(make, begin, rows, straight)
    _check_resume(make, begin, rows, straight)


class _Step(NamedTuple):
    """What a policy did in a step."""

    plan: Plan
    fake_weight: float
    state: Any


def _made(make: Callable[[], Balance]) -> Balance:
    with attempt("make()", "give a function without arguments that makes a policy, such as lambda: Alternating(5)"):
        policy = make()
    require_kind(policy, Balance, "make()", "a Balance", "derive the policy from poise.balance.Balance")
    return policy


def _signals(step: int, names: Collection[str], looks_ahead: bool) -> Mapping[str, float]:
    """What is known before a step: nothing, then what D's moves tell, then everything; now and then extremes."""
    random = Random(step)
    known = [*(_OF_D if step > 0 else ()), *(names if step > 3 else ()), *(_AHEAD if looks_ahead else ())]
    size = random.choice((0.0, 1e-3, 1.0, 1.0, 1.0, 1e6))
    return MappingProxyType({name: _number(name, size, random) for name in dict.fromkeys(known)})


def _number(name: str, size: float, random: Random) -> float:
    """A number that a signal of this name could be."""
    if name == "d_accuracy":
        return random.random()
    return size * random.uniform(0 if name.endswith("_norm") else -1, 1)


def _path(policy: Balance, rows: Collection[Mapping[str, float]]) -> Iterator[_Step]:
    for step, signals in enumerate(rows):
        yield _planned(policy, step, signals)


def _planned(policy: Balance, step: int, signals: Mapping[str, float]) -> _Step:
    """One plan, checked, and the state after it."""
    before = policy.state_dict()
    text = json.dumps(_state(policy, step))
    what = f"plan({step}, signals) with the signals {', '.join(signals) or 'none'}"
    advice = "one that is not known yet is missing: read signals with signals.get(name)"
    with attempt(what, advice), warnings.catch_warnings(action="ignore"):  # such as of numbers that no game has
        plan = policy.plan(step, signals)
    try:
        checked_plan(plan)
    except (ConfigError, TypeError) as error:
        raise broken(
            what,
            "phases of 'D' and 'G', such as (('D',), ('G',))",
            repr(plan),
            "return a tuple of tuples; somebody moves in each phase, and nobody twice",
        ) from error
    if json.dumps(before) != text:
        raise broken(
            f"the state that was given before step {step}",
            "that it stays as it was",
            "that the step changed it",
            "return copies of lists and dicts from state_dict()",
        )
    for name, number in policy.numbers().items():
        require_kind(number, (int, float), f"numbers()[{name!r}]", "a number", "give float(...)")
    return _Step(plan, policy.fake_weight, _state(policy, step + 1))


def _state(policy: Balance, step: int) -> Any:
    """The policy's state, through JSON."""
    state = policy.state_dict()
    found = _not_json(state, "state")
    if found is not None:
        path, value = found
        raise broken(
            f"{path} of state_dict() after {step} steps",
            "JSON values: None, bool, int, float, str, lists, and dicts whose keys are texts",
            f"a {type(value).__name__}, {value!r}",
            "give float(...), list(...) or such",
        )
    return json.loads(json.dumps(state))


def _not_json(value: Any, path: str) -> tuple[str, Any] | None:
    """The first thing in a value that JSON has no word for, and where."""
    if value is None or isinstance(value, bool | int | float | str):
        return None
    if not isinstance(value, list | dict):
        return path, value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(value, dict) and not isinstance(key, str):
            return f"a key of {path}", key
        if found := _not_json(item, f"{path}[{key!r}]"):
            return found
    return None


def _check_independence(
    make: Callable[[], Balance], begin: Any, rows: Collection[Mapping[str, float]], straight: Collection[_Step]
) -> None:
    other = _made(make)
    seen = None
    if _state(other, 0) != begin:
        seen = f"that it begins with the state {_state(other, 0)} and not {begin}"
    else:
        for step, (one, another) in enumerate(zip(straight, _path(other, rows), strict=True)):
            if one != another:
                seen = f"{_difference(one, another)} in step {step}"
                break
    if seen is not None:
        raise broken(
            "a second policy, after another one has been at work",
            "that it does the same from the beginning",
            seen,
            "keep state in attributes that __init__ sets, not in the class or in default arguments; draw no random "
            "numbers; and let make() make a new policy in each call",
        )


def _check_resume(
    make: Callable[[], Balance], begin: Any, rows: Collection[Mapping[str, float]], straight: Collection[_Step]
) -> None:
    state = begin
    for step, (signals, expected) in enumerate(zip(rows, straight, strict=True)):
        policy = _made(make)
        with attempt(f"load_state_dict({state})", "take back what state_dict() gave"):
            policy.load_state_dict(state)
        resumed = _planned(policy, step, signals)
        if resumed != expected:
            raise broken(
                f"step {step} of a new policy, into which the state {state} was loaded",
                "what the policy did that it was saved from",
                _difference(expected, resumed),
                "give everything that plan() changes in state_dict(), and take it back in load_state_dict()",
            )
        state = expected.state


def _difference(expected: _Step, seen: _Step) -> str:
    """What differs first, in words."""
    name, one, other = next(it for it in zip(_Step._fields, expected, seen, strict=True) if it[1] != it[2])
    return f"the {name} {other} and not {one}"
