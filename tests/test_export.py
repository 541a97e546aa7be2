"""Generators as programs: for any number of latents they give what poise gives, and files say what they are."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from poise.data import Data, Scaling, load
from poise.errors import ConfigError, MissingExtraError
from poise.models import PRESETS, build, classes_of
from poise.recipes import resolve
from poise.runs import Run
from poise.session import Sampler, Session
from poise.session.export import FORMATS, Format, format_of, program_of, write_export

IMAGES = Scaling("images", (3, 16, 16))
Z_DIM = 8

LAYERS = """
linear 16 name=w; lrelu
const 4*4*8
modulated_conv2d 8 resample=upsample style=w; learned_noise; lrelu
adaptive_instance_norm style=w
attention
deconv 8; pixel_norm; relu
conv 3; tanh
"""


def preset(name: str, classes: int) -> nn.Module:
    torch.manual_seed(0)
    make = PRESETS[name].generator
    options: dict[str, Any] = {"classes": classes} if classes else {}
    return make(Z_DIM, IMAGES.shape, width=8, **options)


def layers() -> nn.Module:
    torch.manual_seed(0)
    return build([it.strip() for line in LAYERS.split("\n") for it in line.split(";") if it.strip()], (Z_DIM,))


def inputs_of(generator: nn.Module, n: int) -> tuple[Tensor, ...]:
    z = torch.randn(n, Z_DIM, generator=torch.Generator().manual_seed(n))
    return (z, torch.arange(n) % classes_of(generator)) if classes_of(generator) else (z,)


GENERATORS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(preset, name, 0) for name in PRESETS},
    **{f"{name}, of classes": partial(preset, name, 3) for name in ("mlp", "dcgan", "resnet", "r3gan")},
    "layers": layers,
}


@pytest.mark.parametrize("name", GENERATORS)
def test_programs_give_what_networks_give_for_any_number(name: str) -> None:
    generator = GENERATORS[name]()
    with torch.no_grad():
        for n in range(2, 52):  # until batch normalization knows what it normalizes
            generator(*inputs_of(generator, n))
    generator.eval()
    program = program_of(generator, IMAGES, Z_DIM).module()
    for n in (1, 5):
        inputs = inputs_of(generator, n)
        with torch.no_grad():
            expected = IMAGES.restore(generator(*inputs))
        assert expected.std() > 1
        np.testing.assert_allclose(program(*inputs).numpy(), expected, rtol=0, atol=1)


@pytest.mark.parametrize("name", ["layers", "dcgan, of classes"])
def test_onnx_does_what_the_program_does(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program, path = program_of(GENERATORS[name](), IMAGES, Z_DIM), tmp_path / "g.onnx"
    path.write_bytes(FORMATS["onnx"].content(program, "{}"))
    session = onnxruntime.InferenceSession(path)
    for n in (1, 5):
        inputs = inputs_of(GENERATORS[name](), n)
        names = [it.name for it in session.get_inputs()]
        (samples,) = session.run(None, dict(zip(names, (it.numpy() for it in inputs), strict=True)))
        np.testing.assert_allclose(samples, program.module()(*inputs).numpy(), rtol=0, atol=1)


# Of runs.


def trained(data: Data, path: Path, *settings: str) -> Sampler:
    config = resolve(data, None, {"steps": 3}, ["evaluate.samples=64", "batch=16", *settings])
    Session(config, data, Run(path), device="cpu").train()
    return Sampler(Run(path), "cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return trained(load("digits"), tmp_path_factory.mktemp("runs") / "digits", "conditional=true", "generator.width=8")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return trained(load("ring8"), tmp_path_factory.mktemp("runs") / "ring")


def about(sampler: Sampler) -> dict[str, Any]:
    is_ring = sampler.scaling.kind == "vectors"
    return {
        "run": sampler.run.name,
        "step": 3,
        "z_dim": sampler.config.z_dim,
        "classes": [] if is_ring else [str(digit) for digit in range(10)],
        "kind": "vectors" if is_ring else "images",
        "shape": [2] if is_ring else [8, 8, 1],
    }


@pytest.mark.parametrize("which", ["digits", "ring"])
@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_file_has_what_is_sampled(which: str, form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    sampler, path = request.getfixturevalue(which), tmp_path / f"generator.{form}"
    call = {"onnx": called_by_onnxruntime, "pt2": called_by_torch}[form]
    if form == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    said = write_export(sampler, path, form)
    labels = torch.tensor([3, 1, 4, 1, 5])
    z = torch.randn(5, sampler.config.z_dim)
    samples, metadata = call(path, (z, labels) if which == "digits" else (z,))
    assert said == metadata == about(sampler)
    expected = sampler.restore(z, labels=labels)
    assert samples.dtype == expected.dtype
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1 if which == "digits" else 1e-5)


def called_by_onnxruntime(path: Path, inputs: tuple[Tensor, ...]) -> tuple[np.ndarray, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [it.name for it in session.get_inputs()]
    assert names == ["z", "labels"][: len(inputs)]
    assert [it.name for it in session.get_outputs()] == ["samples"]
    (samples,) = session.run(None, dict(zip(names, (it.numpy() for it in inputs), strict=True)))
    return samples, json.loads(session.get_modelmeta().custom_metadata_map["poise"])


def called_by_torch(path: Path, inputs: tuple[Tensor, ...]) -> tuple[np.ndarray, Any]:
    files = {"poise": ""}
    program = torch.export.load(path, extra_files=files)
    return program.module()(*inputs).numpy(), json.loads(files["poise"])


# Refusals.


class Branching(nn.Module):
    """Does what depends on its values."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :2] if z.sum() > 0 else -z[:, :2]


class Counting(nn.Module):
    """Takes the number of samples for one of its own."""

    def forward(self, z: Tensor) -> Tensor:
        return z.reshape(len(z), -1)[:, :2]


@pytest.mark.parametrize("generator", [Branching(), Counting()], ids=["values", "sizes"])
def test_a_network_that_no_program_can_do(generator: nn.Module) -> None:
    scaling = Scaling("vectors", (2,), np.zeros(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(
        ConfigError, match=r"cannot be made a program \(.+\); let it not branch on the values of tensors"
    ):
        program_of(generator, scaling, 4)


def test_formats_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"there is no format 'onx' \(did you mean 'onnx'\?\)"):
        format_of("onx", None)
    with pytest.raises(ConfigError, match=r"g.onnx ends as onnx files do, and is to be pt2; leave --format out, or"):
        format_of("pt2", Path("g.onnx"))
    assert format_of(None, Path("g.PT2")) == format_of("pt2", Path("g.bin")) == "pt2"
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    for path in (None, Path("g.onnx"), Path("g.bin")):
        with pytest.raises(
            MissingExtraError, match=r"onnx files need the 'onnxscript' package: pip .* 'poise\[onnx\]'"
        ):
            format_of(None, path)


def test_what_a_format_has_no_word_for(ring: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wordless(program: object, about: str) -> bytes:
        raise OSError("no such word")

    monkeypatch.setattr(sys.modules["poise.session.export"], "FORMATS", {"pt2": Format(wordless)})
    with pytest.raises(ConfigError, match="the generator cannot be written as pt2: no such word"):
        write_export(ring, tmp_path / "g", "pt2")
    assert list(tmp_path.iterdir()) == []


# On the command line.


def test_the_verb_says_what_the_file_takes_and_gives(poise: Any, tmp_path: Path) -> None:
    poise("train", "ring8", "--steps", "2", "--run", "r", "--set", "evaluate.samples=64")
    said = poise("export", "r", "--format", "pt2").stdout
    assert f"r, step 2: r/generator.pt2 ({Path('r/generator.pt2').stat().st_size / 1e6:.1f} MB)\n" in said
    assert "  takes  z, float32 (n, 8)\n  gives  samples, float32 (n, 2)\n" in said
    facts = json.loads(poise("export", "r", "--format", "pt2", "--out", "g.pt2", "--json").stdout)
    assert (facts["file"], facts["step"], facts["shape"]) == ("g.pt2", 2, [2])
    assert facts["bytes"] == Path("g.pt2").stat().st_size
    assert json.loads(poise("export", "r", "--out", "h.pt2", "--json").stdout) == facts | {"file": "h.pt2"}
    refused = poise("export", "r", "--format", "pt3", code=2)
    assert "there is no format 'pt3' (did you mean 'pt2'?)" in refused.stderr
    refused = poise("export", "r", "--format", "pt2", "--out", "none/g.pt2", code=2)
    assert "none/g.pt2 cannot be written: No such file or directory; give another path" in refused.stderr


def test_onnx_is_the_default(poise: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    poise("train", "ring8", "--steps", "2", "--run", "r", "--set", "evaluate.samples=64")
    assert "r, step 2: r/generator.onnx (" in poise("export", "r").stdout
    assert onnxruntime.InferenceSession("r/generator.onnx").get_inputs()[0].shape[1] == 8
