"""What a session is made of: the schedule of pictures, the walk, and the gauge."""

import doctest
import subprocess
import sys
from types import FunctionType

import pytest
import torch

import poise
import poise.cli.progress
import poise.hooks.samples
from poise.hooks.samples import is_due
from poise.session.walk import slerp


def test_pictures_come_at_doubling_intervals_up_to_the_longest() -> None:
    assert [step for step in range(1, 300) if is_due(step, 16, None)] == [16, 32, 64, 128, 256]
    assert [step for step in range(1, 300) if is_due(step, 16, 64)] == [16, 32, 64, 128, 192, 256]


@pytest.mark.parametrize("module", [poise.cli.progress, poise.hooks.samples])
def test_doctests(module: object) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_slerp_keeps_the_norm_and_the_ends() -> None:
    start, end = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    between = slerp(start, end, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(between, torch.tensor([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0]]))
    torch.testing.assert_close(slerp(start, 2 * start, torch.tensor([0.5])), torch.tensor([[1.5, 0.0]]))


def test_importing_poise_loads_nothing() -> None:
    code = "import sys, poise; print(sorted({'torch', 'numpy', 'PIL', 'pydantic', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(poise.__all__))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    part = getattr(poise, name)
    assert part.__doc__
    for inner in getattr(part, "__all__", ()):
        value = getattr(part, inner)
        if isinstance(value, type | FunctionType):
            assert value.__doc__, f"poise.{name}.{inner}"


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="module 'poise' has no attribute 'trian'"):
        _ = poise.trian
