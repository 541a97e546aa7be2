"""Keras 3 models on the torch backend are modules: the trainer takes them as they are."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

SCRIPT = """
import keras, torch
from poise import Trainer
from poise.penalties import PENALTIES, Weighted
from poise.trainer import make_fabric, pack, unpack

def make():
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    Dense, Norm = keras.layers.Dense, keras.layers.LayerNormalization
    generator = keras.Sequential([keras.Input((4,)), Dense(16, activation="relu"), Norm(), Dense(2)])
    discriminator = keras.Sequential([keras.Input((2,)), Dense(16, activation="leaky_relu"), Dense(1)])
    penalties = {"r1": Weighted(PENALTIES["r1"], 1.0)}
    return Trainer(generator, discriminator, z_dim=4, penalties=penalties, fabric=make_fabric("cpu"))

data = torch.randn(256, 2) + 1
straight, first = make(), make()
before = [weight.clone() for weight in straight.generator.parameters()]
straight.fit(data, steps=9, batch=32)
first.fit(data, steps=4, batch=32)
state = unpack(pack(first.state_dict()))
second = make()
second.load_state_dict(state)
second.fit(data, steps=9, batch=32)
assert not all(torch.equal(a, b) for a, b in zip(before, straight.generator.parameters()))
assert all(torch.equal(a, b) for a, b in zip(straight.generator.parameters(), second.generator.parameters()))
assert torch.equal(straight.sample(5), second.sample(5))
assert straight.sample(5).shape == (5, 2)
"""


@pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra 'keras'")
def test_keras_models_train_and_resume() -> None:
    env = os.environ | {"KERAS_BACKEND": "torch"}
    result = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
