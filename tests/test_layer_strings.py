"""Layer strings: what is written, what is built of it, and what is refused."""

import copy
import doctest
import pickle
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.nn.utils import parametrize

from poise.errors import ConfigError, PoiseError, ShapeError
from poise.losses import LOSSES
from poise.models import INITIALIZERS, OPS, Network, build
from poise.models.arguments import Count, parameters
from poise.models.grammar import Layer, Shape, parse
from poise.penalties import PENALTIES, gradient_penalty

# The grammar.


def plain(value: Any) -> Any:
    """A syntax tree as tuples."""
    if isinstance(value, Layer):
        options = {option.name: plain(option.value.value) for option in value.options}
        return (value.op, [plain(argument.value) for argument in value.arguments], options)
    return value


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("relu", ("relu", [], {})),
        ("  conv 32 ", ("conv", [32], {})),
        ("conv 64 stride=2 bias=false", ("conv", [64], {"stride": 2, "bias": False})),
        ("conv 64 stride = 2", ("conv", [64], {"stride": 2})),
        ("conv\t64\n stride=2", ("conv", [64], {"stride": 2})),
        ("linear 4*4*512", ("linear", [Shape((4, 4, 512))], {})),
        ("reshape 8*-1", ("reshape", [Shape((8, -1))], {})),
        ("lrelu .2", ("lrelu", [0.2], {})),
        ("lrelu 1e-2", ("lrelu", [0.01], {})),
        ("lrelu -1.5E+2", ("lrelu", [-150.0], {})),
        ("split +3 -1", ("split", [3, -1], {})),
        ("x true false null nullish", ("x", [True, False, None, "nullish"], {})),
        ("cat self w_1", ("cat", ["self", "w_1"], {})),
        ("add self (conv 3)", ("add", ["self", ("conv", [3], {})], {})),
        ("add(conv 3)(relu)", ("add", [("conv", [3], {}), ("relu", [], {})], {})),
        (
            "residual (add self (conv 3 initializer=(normal 0 0.02))) name=r",
            (
                "residual",
                [("add", ["self", ("conv", [3], {"initializer": ("normal", [0, 0.02], {})})], {})],
                {"name": "r"},
            ),
        ),
    ],
)
def test_trees(text: str, tree: Any) -> None:
    assert plain(parse(text)) == tree


def test_whole_numbers_and_fractions_are_told_apart() -> None:
    values = [argument.value for argument in parse("x 2 2.0 2e0 true").arguments]
    assert [type(value) for value in values] == [int, float, float, bool]


def test_columns_and_texts() -> None:
    layer = parse("add self (conv  3) name=x")
    assert [(value.column, value.text) for value in layer.arguments] == [(5, "self"), (10, "(conv  3)")]
    assert [(option.column, option.value.column) for option in layer.options] == [(20, 25)]


GRAMMAR_ERRORS = [
    ("", "column 1: the layer is empty; it begins with an op, as in 'conv 64 stride=2'\n  \n  ^"),
    ("64 conv", "column 1: a layer begins with an op, not with '64'\n  64 conv\n  ^"),
    ("(conv 64)", "column 1: a layer begins with an op, not with '('\n  (conv 64)\n  ^"),
    ("conv = 3", "column 6: '=' has no option's name before it\n  conv = 3\n       ^"),
    ("conv stride=2 64", "column 15: '64' comes after stride=; arguments come before options"),
    ("conv stride=", "column 12: stride= has no value\n  conv stride=\n             ^"),
    ("add (conv stride=)", "column 17: stride= has no value"),
    ("conv stride==2", "column 12: stride= has no value"),
    ("conv stride=2=3", "column 14: '=' has no option's name before it"),
    ("conv 3=4", "column 6: '3' cannot be the name of an option"),
    ("conv a=1 b=2 a=3", "column 14: a= is given twice\n  conv a=1 b=2 a=3\n               ^"),
    ("add (conv 64", "column 5: '(' is never closed\n  add (conv 64\n      ^"),
    ("add (conv (relu)", "column 5: '(' is never closed"),
    ("add (", "column 5: '(' is never closed"),
    ("add ()", "column 5: '()' holds no layer"),
    ("conv 64)", "column 8: ')' has no '(' before it\n  conv 64)\n         ^"),
    ("conv 64x64", "column 6: '64x64' is no number, no word and no shape; shapes are written W*H*C"),
    ("linear 4*4*", "column 8: '4*4*' is no number, no word and no shape"),
    ("conv 1e999", "column 6: '1e999' is too large a number"),
    ("conv 99999999999999999999", "column 6: '99999999999999999999' is too large a number"),
    ("reshape 2*99999999999999999999", "is too large a number"),
    ("a " + "(a " * 40 + ")" * 40, "column 100: more than 32 layers are nested in each other"),
    ("conv\t64\tstride=", "column 15: stride= has no value\n  conv 64 stride=\n                ^"),
]


@pytest.mark.parametrize(("text", "message"), GRAMMAR_ERRORS)
def test_grammar_errors(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "layer 7")
    assert str(caught.value).startswith("layer 7, column ")
    assert message in str(caught.value)


@given(st.text(alphabet=" =()*.-+_0159aebtruefalsé\t\n", max_size=30))
@example("(" * 2000)
@example("a " + "(a " * 2000)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        layer = parse(text)
    except ConfigError as error:
        place, shown, caret = str(error).splitlines()
        assert place.startswith("layer 1, column ")
        assert 3 <= len(caret) <= max(3, len(shown))
    else:
        assert layer.op in text


# What is built.


def test_shapes_and_text() -> None:
    network = build(
        ["conv 64  stride=2 ", "lrelu", "adaptive_avg_pool", "flatten", "linear 256 bias=false", "tanh"], (3, 32, 32)
    )
    assert network.input_shape == (3, 32, 32)
    assert network.shapes == ((64, 16, 16), (64, 16, 16), (64, 8, 8), (4096,), (256,), (256,))
    assert network.output_shape == (256,)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 256)
    assert [type(layer).__name__ for layer in network.layers][:3] == ["Conv2d", "LeakyReLU", "AdaptiveAvgPool2d"]
    assert list(network.state_dict()) == ["0.weight", "0.bias", "4.weight"]
    assert repr(build(["conv 4 name=a", "flatten"], (3, 8, 8))) == (
        "Network((3, 8, 8) -> (256,)\n  (a)  conv 4 name=a  (4, 8, 8)\n  (1)  flatten        (256,)\n)"
    )


def test_the_input_is_checked() -> None:
    network = build(["conv 4"], (3, 8, 8))
    with pytest.raises(ShapeError, match=r"takes \(n, 3, 8, 8\) and was given \(2, 1, 8, 8\); build it for this shape"):
        network(torch.zeros(2, 1, 8, 8))


def test_written_shapes_are_width_first() -> None:
    assert build(["linear 2*3*5"], (7,)).output_shape == (5, 3, 2)
    assert build(["reshape 2*3*5"], (30,)).output_shape == (5, 3, 2)
    assert build(["linear 6*5"], (7,)).output_shape == (5, 6)
    assert build(["const 2*3*5"], (7,)).output_shape == (5, 3, 2)


def test_options_do_what_they_say() -> None:
    network = build(["conv 8 stride=3 filter=5 padding=2 dilation=2 groups=2 bias=false"], (4, 32, 32))
    conv = network.layers[0]
    assert isinstance(conv, nn.Conv2d)
    assert (conv.stride, conv.kernel_size, conv.padding, conv.dilation) == ((3, 3), (5, 5), (2, 2), (2, 2))
    assert (conv.groups, conv.bias) == (2, None)
    assert network(torch.zeros(1, 4, 32, 32)).shape == (1, *network.output_shape)


def test_defaults_are_hypergans() -> None:
    """Filter 3 and padding 1, whatever the filter; a deconv doubles; adaptive_avg_pool, avg_pool and upsample too."""
    assert build(["conv 5 filter=1"], (3, 8, 8)).output_shape == (5, 10, 10)
    assert build(["conv"], (3, 8, 8)).output_shape == (3, 8, 8)
    assert build(["deconv 5"], (3, 8, 8)).output_shape == (5, 16, 16)
    assert build(["adaptive_avg_pool"], (3, 9, 8)).output_shape == (3, 4, 4)
    assert build(["avg_pool"], (3, 9, 8)).output_shape == (3, 4, 4)
    assert build(["upsample"], (3, 9, 8)).output_shape == (3, 18, 16)
    assert build(["lrelu"], (3,)).layers[0].negative_slope == 0.2


def test_every_use_makes_a_new_module() -> None:
    network = build(["linear 4", "prelu", "linear 4", "prelu"], (4,))
    assert len({id(module) for module in network.modules()}) == 5
    assert len(list(network.parameters())) == 6


@pytest.mark.parametrize("op", ["conv 4", "deconv 4", "linear 4"])
def test_spectral_norm(op: str) -> None:
    network = build([f"{op} spectral_norm=true"], (3, 8, 8))
    layer = network.layers[0]
    assert parametrize.is_parametrized(layer, "weight")
    matrix = layer.weight.transpose(0, 1) if op.startswith("deconv") else layer.weight
    assert torch.linalg.matrix_norm(matrix.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)
    assert not parametrize.is_parametrized(build([f"{op} spectral_norm=false"], (3, 8, 8)).layers[0])


def test_spectral_norm_reaches_every_part_of_a_layer() -> None:
    network = build(["residual 2 spectral_norm=true", "multi_head_attention 8 spectral_norm=true"], (4, 4, 4))
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(convolutions) == 4 + 4
    assert all(parametrize.is_parametrized(part, "weight") for part in convolutions)


def test_spectral_norm_is_of_weights_as_they_multiply() -> None:
    """At an equalized learning rate, the scale of run time is a part of the weight, and is divided out with it."""
    torch.manual_seed(0)
    plain = build(["equal_linear 4 bias=false lr_mul=0.01"], (6,)).layers[0]
    layer = build(["equal_linear 4 bias=false lr_mul=0.01 spectral_norm=true"], (6,)).layers[0]
    effective = layer.eval()(torch.eye(6)).T
    assert torch.linalg.matrix_norm(effective, ord=2).item() == pytest.approx(1, abs=0.05)
    assert torch.linalg.matrix_norm(plain(torch.eye(6)), ord=2).item() > 1.2
    network = build(["identity name=w", "modulated_conv2d 4 demodulate=false spectral_norm=true"], (3, 8, 8))
    convolution = network.layers[1].layer
    assert convolution.weight_scale == convolution.style.weight_scale == 1
    for part in (convolution, convolution.style):
        assert len(part.parametrizations.weight) == 1


def test_trainable_false_freezes() -> None:
    network = build(["linear 4 trainable=false", "linear 3", "add self (linear 3) trainable=false"], (2,))
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert trained == {"1.weight", "1.bias"}


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        ("(normal 0 0.5)", 0.5),
        ("(normal std=0.5)", 0.5),
        ("normal", 0.02),
        ("(xavier)", (2 / 500) ** 0.5),
        ("(xavier_normal gain=3)", 3 * (2 / 500) ** 0.5),
        ("kaiming", (2 / 300) ** 0.5),
        ("(kaiming slope=1)", (1 / 300) ** 0.5),
        ("orthogonal", (1 / 300) ** 0.5),
        ("(orthogonal 2)", 2 * (1 / 300) ** 0.5),
    ],
)
def test_initializers(initializer: str, std: float) -> None:
    torch.manual_seed(0)
    layer = build([f"linear 200 initializer={initializer}"], (300,)).layers[0]
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.bias.abs().max() == 0
    whole = build(["linear 200"], (300,), initializer=initializer).layers[0]
    assert whole.weight.std().item() == pytest.approx(std, rel=0.02)


def test_an_initializer_of_the_whole_network_yields_to_that_of_a_layer() -> None:
    network = build(
        ["linear 200 initializer=(normal 5 0.1)", "add self (linear 200 initializer=(normal 7 0.1))", "linear 200"],
        (200,),
        initializer="normal 3 0.1",
    )
    means = [weight.mean().item() for weight in network.parameters() if weight.ndim == 2]
    assert means == pytest.approx([5, 7, 3], abs=0.01)


def test_an_initializer_can_be_a_function() -> None:
    def ones_(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.ones_(module.weight)

    network = build(["linear 3", "relu", "residual (linear 3)"], (2,), initializer=ones_)
    assert all((weight == 1).all() for weight in network.parameters() if weight.ndim == 2)


def test_the_mean_of_an_initializer_comes_first() -> None:
    layer = build(["linear 50 initializer=(normal 4 0)"], (50,)).layers[0]
    assert (layer.weight == 4).all()


# Names.


def test_named_layers_are_found_and_read() -> None:
    network = build(
        ["linear 4 name=w", "relu", "add self (linear 4 name=inner)", "cat self w inner", "layer w name=again"], (2,)
    )
    named = network.named_layers()
    assert list(named) == ["w", "1", "2", "3", "again", "inner"]
    assert network.get_submodule("w") is named["w"] is network.layers[0]
    assert named["inner"] is network.layers[2].get_submodule("inner")
    assert network.output_shape == (4,)
    assert "w.weight" in network.state_dict()
    x = torch.randn(3, 2)
    torch.testing.assert_close(network(x), network.layers[0](x))


def test_the_parts_of_a_layer_have_no_names() -> None:
    network = build(
        ["linear 3*3*4 name=w", "residual (conv name=q) (relu)", "adaptive_instance_norm", "add self (residual 1)"],
        (2,),
    )
    assert list(network.named_layers()) == ["w", "1", "2", "3", "q"]


def test_cat_is_of_what_each_gave() -> None:
    network = build(["identity name=x", "tanh", "cat self x (relu) noise"], (3, 2, 2))
    assert network.output_shape == (12, 2, 2)
    x = torch.randn(4, 3, 2, 2)
    y = network(x)
    torch.testing.assert_close(y[:, :9], torch.cat((x.tanh(), x, x.tanh().relu()), 1))
    assert 0.5 < y[:, 9:].std() < 2


def test_add_and_mul_are_of_what_each_gave() -> None:
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(build(["add self (tanh) (relu)"], (3, 2, 2))(x), x + x.tanh() + x.relu())
    torch.testing.assert_close(build(["mul self (tanh)"], (3, 2, 2))(x), x * x.tanh())
    one = build(["mul self (conv 1 filter=1 padding=0)"], (3, 2, 2))
    assert one.output_shape == (3, 2, 2)
    torch.testing.assert_close(one(x), x * one.layers[0].get_submodule("1")(x))


def test_the_latent_comes_back() -> None:
    network = build(["linear 2*2*3", "latent", "split 2 0 name=w", "latent"], (5,))
    x = torch.randn(4, 5)
    assert network.shapes[1:] == ((5,), (2,), (5,))
    torch.testing.assert_close(network(x), x)


def test_split_takes_stretches() -> None:
    x = torch.randn(2, 5, 4, 3)
    for text, expected in {
        "split 2 0": x[:, :2],
        "split 2 2": x[:, 4:],
        "split 3 1 dim=2": x[:, :, 3:],
        "split 2 1 dim=-1": x[..., 2:],
    }.items():
        network = build([text], (5, 4, 3))
        torch.testing.assert_close(network(x), expected)
        assert network.output_shape == expected.shape[1:]


def test_layer_brought_to_the_size() -> None:
    network = build(["identity name=x", "conv 4 stride=2", "layer x upsample=true"], (3, 8, 8))
    assert network.output_shape == (3, 4, 4)
    x = torch.arange(8.0).expand(1, 3, 8, 8)
    torch.testing.assert_close(network(x)[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    same = build(["identity name=x", "relu", "layer x upsample=true"], (3, 8, 8))
    torch.testing.assert_close(same(-x), -x)


def test_residual_around_layers_and_of_blocks() -> None:
    around = build(["residual (relu) (conv 3) (tanh)"], (3, 4, 4))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(around(x), x)  # closed at first
    nn.init.constant_(around.get_parameter("0.gate"), 2.0)
    conv = around.get_submodule("0.branch.1")
    torch.testing.assert_close(around(x), x + 2 * conv(x.relu()).tanh())
    blocks = build(["residual 3"], (3, 4, 4))
    torch.testing.assert_close(blocks(x), x)
    assert len([part for part in blocks.modules() if isinstance(part, nn.Conv2d)]) == 6
    assert build(["residual"], (3, 4, 4)).texts == ("residual",)
    for block, size in {"down": 4, "up": 16}.items():
        network = build([f"residual 2 block={block} output_channels=5"], (3, 8, 8))
        assert network.output_shape == (5, size, size)
        assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 5, size, size)


def test_names_stay_in_their_network() -> None:
    build(["linear 3 name=w"], (2,))
    with pytest.raises(ConfigError, match="none has a name"):
        build(["layer w"], (2,))


def test_own_ops() -> None:
    def twice(site: Any, times: Count = 2, *, filter_: Count = 1) -> tuple[nn.Module, tuple[int, ...]]:
        """So many times the channels."""
        if len(site.shape) != 3:
            raise ShapeError("takes an image")
        return nn.Conv2d(site.channels, times * site.channels, filter_), (times * site.channels, *site.positions)

    network = build(["twice", "twice 3 filter=1", "add self (twice 1)"], (2, 4, 4), ops={"twice": twice})
    assert network(torch.zeros(1, 2, 4, 4)).shape == (1, 12, 4, 4)
    with pytest.raises(ShapeError, match=r"layer 1, column 1: twice takes an image; \(7,\) comes in"):
        build(["twice"], (7,), ops={"twice": twice})
    with pytest.raises(ConfigError, match="twice takes times: a whole number at least 1, not '0'"):
        build(["twice 0"], (2, 4, 4), ops={"twice": twice})
    assert "twice" not in OPS


def test_an_own_op_needs_annotations() -> None:
    def bare(site: Any, times) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(TypeError, match="the annotation of times says nothing"):
        parameters(bare)


def test_networks_can_be_copied_and_pickled() -> None:
    network = build(["linear 4 name=w", "residual (linear 4)", "ez_norm", "cat self w"][:2], (3,)).eval()
    x = torch.randn(2, 3)
    torch.testing.assert_close(copy.deepcopy(network)(x), network(x))
    again = pickle.loads(pickle.dumps(network))
    torch.testing.assert_close(again(x), network(x))
    assert repr(again) == repr(network)


def test_documentation() -> None:
    # The package's attribute is the function, so the module is asked for by name.
    result = doctest.testmod(import_module("poise.models.build"))
    assert (result.attempted, result.failed) == (1, 0)
    for name, op in OPS.items():
        assert op.__doc__, name
        first = op.__doc__.splitlines()[0]
        assert first.endswith("."), name
        parameters(op)


# Refusals, with their place.

IMAGE = (3, 8, 8)
CARETS = [
    (
        ["relu", "conv 64 strid=2"],
        IMAGE,
        "layer 2, column 9: conv has no option 'strid' (did you mean 'stride'?)\n  conv 64 strid=2\n          ^",
    ),
    (["cnv 64"], IMAGE, "layer 1, column 1: there is no op 'cnv' (did you mean 'conv'?)\n  cnv 64\n  ^"),
    (
        ["add self (cnv 3)"],
        IMAGE,
        "layer 1, column 11: there is no op 'cnv' (did you mean 'conv'?)\n  add self (cnv 3)\n            ^",
    ),
    (
        ["conv x"],
        IMAGE,
        "layer 1, column 6: conv takes channels: a whole number at least 1, not 'x'\n  conv x\n       ^",
    ),
    (["conv 0"], IMAGE, "conv takes channels: a whole number at least 1, not '0'"),
    (["conv 1.5"], IMAGE, "conv takes channels: a whole number at least 1, not '1.5'"),
    (["conv true"], IMAGE, "conv takes channels: a whole number at least 1, not 'true'"),
    (["conv (relu)"], IMAGE, "column 6: conv takes channels: a whole number at least 1, not '(relu)'"),
    (["conv 3 stride=two"], IMAGE, "column 15: conv takes stride: a whole number at least 1, not 'two'"),
    (["conv 3 stride=null"], IMAGE, "conv takes stride: a whole number at least 1, not 'null'"),
    (["conv 3 padding=-1"], IMAGE, "conv takes padding: a whole number at least 0, not '-1'"),
    (["conv 3 bias=0"], IMAGE, "conv takes bias: true or false, not '0'"),
    (["conv 3 4"], IMAGE, "column 8: conv takes 1 argument (channels), and '4' is one more\n  conv 3 4\n         ^"),
    (["conv 3 channels=4"], IMAGE, "column 8: conv has its channels already, as an argument"),
    (["relu 3"], IMAGE, "column 6: relu takes no arguments, and '3' is one more"),
    (
        ["linear"],
        IMAGE,
        "column 1: linear takes features: a whole number at least 1, or a shape W*H*C, and none is given",
    ),
    (["linear 1*2*3*4"], IMAGE, "linear takes features: a whole number at least 1, or a shape W*H*C, not '1*2*3*4'"),
    (["linear 4*0"], IMAGE, "linear takes features: a whole number at least 1, or a shape W*H*C, not '4*0'"),
    (["linear 4 name=3"], IMAGE, "linear takes name: a word, not '3'"),
    (["upsample mode=cubic"], IMAGE, "upsample takes mode: one of bilinear, linear, nearest, not 'cubic'"),
    (["dropout 1"], IMAGE, "dropout takes share: a number at least 0 and below 1, not '1'"),
    (["equal_linear 3 lr_mul=0"], IMAGE, "equal_linear takes lr_mul: a number above 0, not '0'"),
    (["lrelu steep"], IMAGE, "lrelu takes negative_slope: a number, not 'steep'"),
    (["split 2 0 dim=a"], IMAGE, "split takes dim: a whole number, not 'a'"),
    (["reshape -1*-1*3"], IMAGE, "reshape takes shape: a shape W*H*C, of which one size may be -1, not '-1*-1*3'"),
    (["add"], IMAGE, "column 1: add takes one or more of self, noise, the name of a layer before it"),
    (
        ["add 3"],
        IMAGE,
        "add takes branches: self, noise, the name of a layer before it, or a layer in parentheses, not '3'",
    ),
    (["add self branches=3"], IMAGE, "add has no option 'branches'"),
    (
        ["linear 3 name=w", "add self v"],
        IMAGE,
        "layer 2, column 10: add reads 'v', and no layer before it has that name (known: noise, self, w)",
    ),
    (["linear 3 name=style", "layer stile"], IMAGE, "column 7: layer reads a layer named 'stile', and none before it"),
    (
        ["ez_norm"],
        IMAGE,
        "column 1: ez_norm reads a layer named 'w', and none before it has that name (none has a name",
    ),
    (["ez_norm style=z"], IMAGE, "column 9: ez_norm reads a layer named 'z'"),
    (["modulated_conv2d"], IMAGE, "modulated_conv2d reads a layer named 'w'"),
    (["identity name=w", "modulated_conv2d filter=2"], IMAGE, "column 18: modulated_conv2d takes a filter of odd size"),
    (["conv 3 name=a", "relu name=a"], IMAGE, "layer 2, column 6: layer 1 is named 'a' already; choose another name"),
    (["conv 3 name=forward"], IMAGE, "column 8: the name 'forward' has a meaning already; choose another"),
    (["conv 3 name=self"], IMAGE, "the name 'self' has a meaning already"),
    (["conv 3 name=training"], IMAGE, "the name 'training' has a meaning already"),
    (["add (conv 3 name=how)"], IMAGE, "the name 'how' has a meaning already"),
    (
        ["relu spectral_norm=true"],
        IMAGE,
        "column 6: relu has no linear layer and no convolution of its own, and spectral_norm= is for their weights",
    ),
    (["batch_norm initializer=normal"], IMAGE, "of its own, and initializer= is for their weights"),
    (["relu trainable=false"], IMAGE, "column 6: relu has no weights that trainable= could change"),
    (["add self (conv 3) spectral_norm=true"], IMAGE, "column 19: add has no linear layer and no convolution of its"),
    (
        ["equal_linear 3 initializer=normal"],
        IMAGE,
        "column 16: equal_linear scales its weights at run time, and so draws them itself (equalized learning rate): "
        "leave initializer= out",
    ),
    (
        ["identity name=w", "modulated_conv2d 3 initializer=(normal 0 1)"],
        IMAGE,
        "column 20: modulated_conv2d scales its weights at run time",
    ),
    (
        ["conv 3 initializer=(norml 0 1)"],
        IMAGE,
        "column 21: there is no initializer 'norml' (did you mean 'normal'?)",
    ),
    (["conv 3 initializer=zeros"], IMAGE, "column 20: there is no initializer 'zeros' (known: kaiming,"),
    (["conv 3 initializer=3"], IMAGE, "conv takes initializer: one of normal, xavier,"),
    (["conv 3 initializer=(normal a)"], IMAGE, "column 28: normal takes mean: a number, not 'a'"),
    (
        ["conv 3 initializer=(normal 0 1 2)"],
        IMAGE,
        "column 32: normal takes 2 arguments (mean, std), and '2' is one more",
    ),
    (["conv 3 initializer=(xavier slope=1)"], IMAGE, "column 28: xavier has no option 'slope' (known: gain)"),
    (["conv 3 initializer=(normal 0 -1)"], IMAGE, "column 8: the initializer fails: normal expects std >= 0.0"),
    (["residual 2 3"], IMAGE, "residual takes either one number of blocks or layers in parentheses"),
    (["residual 2 (relu)"], IMAGE, "residual takes either one number of blocks or layers in parentheses"),
    (["residual (relu) block=up"], IMAGE, "residual takes block= and output_channels= for a number of blocks"),
    (
        ["efficient_attention heads=3"],
        IMAGE,
        "column 21: efficient_attention needs heads that divide 16 key and 16 value",
    ),
    (
        ["linear 999999999*999999999"],
        IMAGE,
        "column 1: linear cannot be made: its weights are more than memory holds; take smaller sizes\n",
    ),
    (["conv 99999999999"], IMAGE, "column 1: conv cannot be made: its weights are more than memory holds"),
    (["conv 3 filter=99999999999 padding=99999999999"], IMAGE, "column 1: conv cannot be made: its weights are more"),
    (["celu alpha=0"], IMAGE, "column 12: celu takes alpha: a number above 0, not '0'"),
    (["softplus beta=0"], IMAGE, "column 15: softplus takes beta: a number above 0, not '0'"),
    (["softplus 0"], IMAGE, "column 10: softplus takes beta: a number above 0, not '0'"),
    (["softshrink -1"], IMAGE, "column 12: softshrink takes lambd: a number at least 0, not '-1'"),
    (["gelu approximate=foo"], IMAGE, "column 18: gelu takes approximate: one of none, tanh, not 'foo'"),
]
MISFITS = [
    (
        ["linear 10", "conv 3"],
        IMAGE,
        "layer 2, column 1: conv takes an image (c, h, w) or a signal (c, length); (10,) comes in\n  conv 3\n  ^",
    ),
    (["conv1d 3"], IMAGE, "column 1: conv1d takes a signal (c, length); (3, 8, 8) comes in"),
    (["conv2d 3"], (3, 8), "column 1: conv2d takes an image (c, h, w); (3, 8) comes in"),
    (
        ["conv 64 filter=11"],
        IMAGE,
        "column 9: conv leaves nothing with filter=11 padding=1; (3, 8, 8) comes in\n  conv 64 filter=11\n          ^",
    ),
    (
        ["conv 4 filter=5 dilation=3"],
        IMAGE,
        "conv leaves nothing with filter=5 padding=1 dilation=3; (3, 8, 8) comes in",
    ),
    (
        ["conv 4 groups=2"],
        IMAGE,
        "column 8: conv needs groups that divide its 3 channels in and 4 out, not 2; (3, 8, 8)",
    ),
    (["deconv 4 padding=9"], IMAGE, "column 10: deconv leaves nothing with filter=4 stride=2 padding=9; (3, 8, 8)"),
    (["deconv 4 groups=2"], IMAGE, "deconv needs groups that divide its 3 channels in and 4 out, not 2"),
    (["reshape 4*4*4"], IMAGE, "column 9: reshape cannot bring 192 values into 4*4*4; (3, 8, 8) comes in"),
    (["reshape 5*-1"], IMAGE, "reshape cannot bring 192 values into 5*-1"),
    (["split 2 2"], IMAGE, "column 9: split makes 2 of 3 by 2, so index goes to 1, not 2; (3, 8, 8) comes in"),
    (["split 2 0 dim=4"], IMAGE, "column 11: split takes a dimension from 1 to 3; 0 is the batch; (3, 8, 8) comes in"),
    (["split 2 0 dim=0"], IMAGE, "split takes a dimension from 1 to 3"),
    (["pad 1 2 3"], IMAGE, "column 5: pad takes 1 or 4 numbers here, not 3; (3, 8, 8) comes in"),
    (["pad"], IMAGE, "column 1: pad takes 1 or 4 numbers here, not 0"),
    (["pad 8 mode=reflect"], IMAGE, "pad reflects fewer positions than there are; (3, 8, 8) comes in"),
    (["pixel_shuffle"], IMAGE, "pixel_shuffle needs a multiple of 4 channels; (3, 8, 8) comes in"),
    (["blur"], (3, 1, 4), "blur reflects the borders, which takes at least two positions along each side"),
    (["adaptive_avg_pool"], (3, 1, 4), "adaptive_avg_pool halves, which takes at least two positions along each side"),
    (["adaptive_avg_pool 4*4*4"], IMAGE, "column 19: adaptive_avg_pool takes a size for each side of the positions"),
    (["avg_pool"], (3, 1, 4), "avg_pool leaves nothing with filter=2 padding=0"),
    (["avg_pool padding=2"], IMAGE, "column 10: avg_pool takes a padding of at most half its filter=2, not 2"),
    (["upsample w=3"], (3, 8), "column 10: upsample takes the length of a signal as h=; (3, 8) comes in"),
    (["instance_norm"], (3, 1, 1), "instance_norm takes at least two positions"),
    (["group_norm"], IMAGE, "column 1: group_norm needs groups that divide the 3 channels, not 32; (3, 8, 8) comes in"),
    (["group_norm 8"], (8,), "column 12: group_norm takes at least two values a group: of one, nothing but the mean"),
    (["layer_norm"], (1,), "layer_norm takes at least two values: of one, nothing but the mean is left; (1,) comes in"),
    (["multi_head_attention"], IMAGE, "multi_head_attention needs heads that divide the 3 channels, not 4"),
    (["segment_softmax 2"], IMAGE, "column 17: segment_softmax needs a multiple of 4 channels; (3, 8, 8) comes in"),
    (["residual 2 block=down"], (3, 1, 4), "column 12: residual halves, which takes at least two positions"),
    (
        ["residual (conv 5)"],
        IMAGE,
        "residual needs layers that give back the shape that they are given, and these give (5, 8, 8)",
    ),
    (
        ["add self (conv 5)"],
        IMAGE,
        "add needs layers whose shapes are equal, or 1 where they differ, not (3, 8, 8) and (5, 8, 8)",
    ),
    (["add self (flatten)"], IMAGE, "not (3, 8, 8) and (192,); (3, 8, 8) comes in"),
    (["cat self (avg_pool)"], IMAGE, "cat needs layers whose positions are equal, not (3, 8, 8) and (3, 4, 4)"),
    (["linear 3 name=w", "conv"], IMAGE, "layer 2, column 1: conv takes an image"),
    (["identity name=x", "flatten", "layer x upsample=true"], IMAGE, "layer takes an image (c, h, w) or a signal"),
    (
        ["identity name=x", "reshape 8*24", "layer x upsample=true"],
        IMAGE,
        "column 9: layer cannot bring (3, 8, 8) of the",
    ),
    (
        ["glu"],
        IMAGE,
        "glu does not work so: Halving dimension must be even, but dimension 1 is size 3; (3, 8, 8) comes in",
    ),
    (["prelu 4"], IMAGE, "column 7: prelu has 1 parameter, or one for each of 3 channels; (3, 8, 8) comes in"),
    (["hardtanh 2 1"], IMAGE, "hardtanh does not work so: "),
    (["softmax dim=7"], IMAGE, "column 9: softmax takes a dimension from 1 to 3; 0 is the batch; (3, 8, 8) comes in"),
    (["softmax 7"], IMAGE, "column 9: softmax takes a dimension from 1 to 3; 0 is the batch; (3, 8, 8) comes in"),
    (["softmax dim=0"], IMAGE, "column 9: softmax takes a dimension from 1 to 3"),
    (["log_softmax -4"], IMAGE, "column 13: log_softmax takes a dimension from 1 to 3"),
    (["softmax2d"], (3, 8), "softmax2d takes an image (c, h, w); (3, 8) comes in"),
]


@pytest.mark.parametrize(("layers", "shape", "message"), CARETS)
def test_refusals(layers: list[str], shape: Sequence[int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(layers, shape)
    assert message in str(caught.value)
    assert str(caught.value).splitlines()[1] == f"  {layers[-1]}"


@pytest.mark.parametrize(("layers", "shape", "message"), MISFITS)
def test_misfits(layers: list[str], shape: Sequence[int], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        build(layers, shape)
    assert message in str(caught.value)
    assert str(caught.value).splitlines()[1] == f"  {layers[-1]}"


@pytest.mark.parametrize(
    ("layers", "shape", "kind", "message"),
    [
        ("conv 64", IMAGE, ConfigError, r"layers is a str; give a list of texts such as \['linear 128', 'relu'\]"),
        (None, IMAGE, ConfigError, "layers is a NoneType"),
        ([], IMAGE, ConfigError, "layers is empty; give at least one text"),
        (["relu", ["conv 3"]], IMAGE, ConfigError, r"layer 2 is \['conv 3'\]; a layer is a text such as 'conv 64'"),
        (["relu", 3], IMAGE, ConfigError, "layer 2 is 3; a layer is a text"),
        (["relu"], (), ShapeError, r"input_shape is \(\); it must be \(features,\), \(c, length\) or \(c, h, w\)"),
        (["relu"], (1, 2, 3, 4), ShapeError, r"input_shape is \(1, 2, 3, 4\)"),
        (["relu"], (3, 0), ShapeError, r"input_shape is \(3, 0\); .* each at least 1"),
        (["relu"], (3.0,), ShapeError, r"input_shape is \(3.0,\)"),
    ],
)
def test_what_is_no_list_of_layers(layers: Any, shape: Any, kind: type[PoiseError], message: str) -> None:
    with pytest.raises(kind, match=message):
        build(layers, shape)


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        ("norml", r"initializer, column 1: there is no initializer 'norml' \(did you mean 'normal'\?\)"),
        ("(normal x)", "initializer, column 8: normal takes mean: a number, not 'x'"),
        ("", "initializer, column 1: the layer is empty"),
    ],
)
def test_wrong_initializers_of_a_whole_network(initializer: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(["linear 3"], (2,), initializer=initializer)


# The contract of every op.

VECTOR, SIGNAL, EVEN = (8,), (8, 6), (8, 4, 6)
CASES: dict[str, list[tuple[str, tuple[int, ...], tuple[int, ...]]]] = {
    "linear": [("linear 5", EVEN, (5,)), ("linear 2*3*4", VECTOR, (4, 3, 2))],
    "equal_linear": [("equal_linear 2*3*4 lr_mul=0.5", EVEN, (4, 3, 2))],
    "conv": [("conv 5 stride=2", EVEN, (5, 2, 3)), ("conv 5 filter=4 padding=0", SIGNAL, (5, 3))],
    "conv1d": [("conv1d 5 dilation=2", SIGNAL, (5, 4))],
    "conv2d": [("conv2d 4 groups=2 filter=1 padding=0", EVEN, (4, 4, 6))],
    "deconv": [("deconv 5", EVEN, (5, 8, 12)), ("deconv 4 filter=3 stride=3 padding=0 groups=2", SIGNAL, (4, 18))],
    "resize_conv": [("resize_conv 5", EVEN, (5, 8, 12)), ("resize_conv 5 w=5 h=7 mode=nearest", EVEN, (5, 7, 5))],
    "resize_conv1d": [("resize_conv1d 5", SIGNAL, (5, 12))],
    "resize_conv2d": [("resize_conv2d 5 filter=5 padding=0", EVEN, (5, 4, 8))],
    "subpixel": [("subpixel 5", EVEN, (5, 8, 12)), ("subpixel", EVEN, (8, 8, 12))],
    "modulated_conv2d": [
        ("modulated_conv2d 5 style=x", EVEN, (5, 4, 6)),
        ("modulated_conv2d 5 upsample style=x bias=true", EVEN, (5, 8, 12)),
        ("modulated_conv2d 5 downsample style=x demodulate=false", (8, 5, 6), (5, 2, 3)),
    ],
    "upsample": [("upsample", EVEN, (8, 8, 12)), ("upsample h=7", SIGNAL, (8, 7)), ("upsample w=9", EVEN, (8, 8, 9))],
    "pixel_shuffle": [("pixel_shuffle", EVEN, (2, 8, 12))],
    "blur": [("blur", EVEN, EVEN), ("blur", SIGNAL, SIGNAL)],
    "avg_pool": [("avg_pool", EVEN, (8, 2, 3)), ("avg_pool filter=3 stride=2 padding=1", SIGNAL, (8, 3))],
    "adaptive_avg_pool": [
        ("adaptive_avg_pool", EVEN, (8, 2, 3)),
        ("adaptive_avg_pool 1", EVEN, (8, 1, 1)),
        ("adaptive_avg_pool 5*3", EVEN, (8, 3, 5)),
    ],
    "adaptive_avg_pool1d": [("adaptive_avg_pool1d", SIGNAL, (8, 3))],
    "flatten": [("flatten", EVEN, (192,)), ("flatten", VECTOR, VECTOR)],
    "reshape": [("reshape 2*-1*3", EVEN, (3, 32, 2))],
    "split": [("split 3 2", EVEN, (2, 4, 6)), ("split 4 1 dim=3", EVEN, (8, 4, 2))],
    "pad": [
        ("pad 1 2 3 4", EVEN, (8, 11, 9)),
        ("pad 1 mode=reflect", SIGNAL, (8, 8)),
        ("pad 2 mode=replicate", EVEN, (8, 8, 10)),
    ],
    "identity": [("identity", EVEN, EVEN)],
    "dropout": [("dropout", EVEN, EVEN), ("dropout 0.2", SIGNAL, SIGNAL), ("dropout 0.9", VECTOR, VECTOR)],
    "batch_norm": [
        ("batch_norm", EVEN, EVEN),
        ("batch_norm affine=false", SIGNAL, SIGNAL),
        ("batch_norm", VECTOR, VECTOR),
    ],
    "batch_norm1d": [("batch_norm1d momentum=0.3 eps=0.1", VECTOR, VECTOR)],
    "instance_norm": [("instance_norm", EVEN, EVEN), ("instance_norm affine=false", SIGNAL, SIGNAL)],
    "instance_norm1d": [("instance_norm1d", SIGNAL, SIGNAL)],
    "layer_norm": [("layer_norm", EVEN, EVEN), ("layer_norm affine=false", VECTOR, VECTOR)],
    "group_norm": [("group_norm 2", EVEN, EVEN), ("group_norm 4 affine=false", VECTOR, VECTOR)],
    "pixel_norm": [("pixel_norm", EVEN, EVEN), ("pixel_norm", VECTOR, VECTOR)],
    "adaptive_instance_norm": [("adaptive_instance_norm style=x", EVEN, EVEN)],
    "ez_norm": [("ez_norm style=x", EVEN, EVEN), ("ez_norm style=x", SIGNAL, SIGNAL)],
    "minibatch_stddev": [("minibatch_stddev", EVEN, (9, 4, 6)), ("minibatch_stddev group=2", VECTOR, (9,))],
    "layer": [("layer x", EVEN, EVEN)],
    "latent": [("latent", EVEN, EVEN)],
    "noise": [("noise", EVEN, EVEN), ("noise 2*3", EVEN, (3, 2))],
    "learned_noise": [("learned_noise", EVEN, EVEN), ("learned_noise", VECTOR, VECTOR)],
    "const": [("const", EVEN, EVEN), ("const 2*3*4", VECTOR, (4, 3, 2))],
    "add": [("add self x noise (conv 1)", EVEN, EVEN)],
    "mul": [("mul self (ez_norm style=x)", EVEN, EVEN)],
    "cat": [("cat self x noise (conv 1)", EVEN, (25, 4, 6))],
    "residual": [
        ("residual 2", EVEN, EVEN),
        ("residual 1 block=up output_channels=3", SIGNAL, (3, 12)),
        ("residual (relu) (conv) (ez_norm style=x)", EVEN, EVEN),
    ],
    "attention": [("attention", EVEN, EVEN), ("attention", SIGNAL, SIGNAL)],
    "channel_attention": [("channel_attention", EVEN, EVEN), ("channel_attention 5 reduction=2", SIGNAL, (5, 6))],
    "efficient_attention": [("efficient_attention 5 heads=2 key_channels=4 value_channels=6", EVEN, (5, 4, 6))],
    "multi_head_attention": [
        ("multi_head_attention", EVEN, EVEN),
        ("multi_head_attention 5 heads=2", SIGNAL, (5, 6)),
        ("multi_head_attention 1", VECTOR, (1,)),
    ],
    "segment_softmax": [("segment_softmax 2", EVEN, (2, 4, 6))],
    "threshold": [("threshold 0.1 -1", VECTOR, VECTOR)],
    "glu": [("glu", EVEN, (4, 4, 6)), ("glu -1", EVEN, (8, 4, 3))],
    "prelu": [("prelu", EVEN, EVEN), ("prelu 8 init=0.1", VECTOR, VECTOR)],
    "softmax": [("softmax", EVEN, EVEN), ("softmax dim=-1", EVEN, EVEN)],
    "softmax2d": [("softmax2d", EVEN, EVEN)],
    "hardtanh": [("hardtanh -2 2", EVEN, EVEN)],
    "gelu": [("gelu approximate=tanh", EVEN, EVEN)],
    "leaky_relu": [("leaky_relu negative_slope=0.1", EVEN, EVEN)],
    "lrelu": [("lrelu 0.3", EVEN, EVEN)],
    "softplus": [("softplus 2 threshold=10", EVEN, EVEN)],
    **{
        name: [(name, VECTOR, VECTOR)]
        for name in "relu rrelu relu6 sigmoid hardsigmoid tanh silu swish mish hardswish elu celu selu hardshrink "
        "logsigmoid softshrink softsign tanhshrink softmin log_softmax".split()
    },
}
RUNS = [(name, *case) for name, cases in CASES.items() for case in cases]


def network_of(text: str, shape: Sequence[int]) -> Network:
    """The layer after one named ``x``, which has what comes in."""
    torch.manual_seed(0)
    return build(["identity name=x", text], shape)


def test_every_op_is_here() -> None:
    assert set(CASES) == set(OPS)


def test_every_activation_of_torch_is_here() -> None:
    made = {type(build([CASES[name][0][0]], EVEN).layers[0]).__name__ for name in OPS if name in _ACTIVATION_OPS}
    assert made == set(activation.__all__) - {"MultiheadAttention"}


_ACTIVATION_OPS = [name for name, op in OPS.items() if (op.__doc__ or "").startswith("The activation torch.nn.")]


@pytest.mark.parametrize(("name", "text", "shape", "expected"), RUNS)
def test_shapes_and_gradients(name: str, text: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """The shape is as foretold; a gradient penalty on the input can be differentiated, as R1 needs."""
    network = network_of(text, shape).double()
    assert network.output_shape == expected
    x = torch.randn(4, *shape, dtype=torch.float64, requires_grad=True)
    y = network(x)
    assert y.shape == (4, *expected)
    assert y.dtype == torch.float64
    if name in ("noise", "const"):
        assert not y.requires_grad or torch.autograd.grad(y.sum(), x, allow_unused=True) == (None,)
        return
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    for tensor in (x, *network.parameters()):
        assert tensor.grad is None or tensor.grad.isfinite().all()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "text", "shape", "expected"), RUNS)
def test_uses_share_nothing(name: str, text: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    one, other = network_of(text, shape), network_of(text, shape)
    tensors = [(*network.parameters(), *network.buffers()) for network in (one, other)]
    assert not {tensor.data_ptr() for tensor in tensors[0]} & {tensor.data_ptr() for tensor in tensors[1]}
    assert not {id(module) for module in one.modules()} & {id(module) for module in other.modules()}
    names = [list(network.state_dict()) for network in (one, other)]
    assert names[0] == names[1]


@pytest.mark.parametrize(("name", "text", "shape", "expected"), RUNS)
def test_copies_are_equal(name: str, text: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    network = network_of(text, shape).eval()
    x = torch.randn(4, *shape)
    outputs = []
    for copied in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.manual_seed(1)
        outputs.append(copied(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize(("name", "text", "shape", "expected"), RUNS)
def test_shapes_can_be_had_without_values(
    name: str, text: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """On the meta device nothing is allocated, however large the network."""
    with torch.device("meta"):
        network = network_of(text, shape)
    assert network.output_shape == expected
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))


@pytest.mark.parametrize("name", OPS)
def test_unknown_options_are_refused(name: str) -> None:
    text, shape, _ = CASES[name][0]
    with pytest.raises(ConfigError, match=f"layer 2, column {len(text) + 2}: {name} has no option 'strids'"):
        network_of(f"{text} strids=2", shape)


@pytest.mark.parametrize("name", OPS)
def test_every_op_takes_a_name(name: str) -> None:
    text, shape, _ = CASES[name][0]
    network = network_of(f"{text} name=features", shape)
    assert network.named_layers()["features"] is network.get_submodule("features")


# Whole networks in the manner of HyperGAN 1.x, at 64 x 64.

DISCRIMINATORS = {
    "strided": [
        *(
            "conv 16 stride=2",
            "relu",
            "conv 32 stride=2",
            "relu",
            "conv 64 stride=2",
            "relu",
            "conv 64 stride=2",
            "relu",
        ),
        *("flatten", "linear 128", "relu", "multi_head_attention 1"),
    ],
    "pooled": [
        *("conv 16 stride=1", "adaptive_avg_pool", "lrelu", "conv 32", "adaptive_avg_pool", "lrelu"),
        *("conv 32", "adaptive_avg_pool", "lrelu", "conv 32", "adaptive_avg_pool", "lrelu", "conv 32"),
        *("adaptive_avg_pool", "lrelu", "conv 32", "adaptive_avg_pool", "lrelu", "flatten", "linear 1 bias=false"),
    ],
    "attentive": [
        *("conv 16 stride=2 padding=0", "relu", "add self (efficient_attention)", "conv 32 stride=2 padding=0", "relu"),
        *("add self (efficient_attention)", "conv 64 stride=2 padding=0", "relu", "linear 1"),
    ],
}
GENERATORS = {
    "segments": [
        *("identity name=z", "latent", "split 16 0", "multi_head_attention 24 initializer=(xavier_normal)", "relu"),
        *("identity name=w", "layer z", "latent", "split 16 1", "multi_head_attention 24", "relu", "linear 8*8*32"),
        *(
            "upsample",
            "add self (ez_norm initializer=(xavier_normal))",
            "conv2d 32 initializer=(xavier_normal)",
            "relu",
        ),
        *("upsample", "add self (ez_norm initializer=(xavier_normal))", "conv2d 32", "relu", "upsample h=66 w=66"),
        *("add self (ez_norm style=w)", "conv2d 30 padding=0", "segment_softmax 3", "hardtanh"),
    ],
    "styles": [
        *("linear 16 name=w", "const 4*4*16", "resize_conv 16", "adaptive_instance_norm", "relu", "resize_conv 16"),
        *("adaptive_instance_norm", "relu", "deconv 16", "adaptive_instance_norm", "relu", "subpixel 3", "tanh"),
    ],
    "stylegan2": [
        *("pixel_norm", "equal_linear 16 lr_mul=0.01", "lrelu", "equal_linear 16 lr_mul=0.01", "lrelu name=w"),
        *("const 4*4*16", "modulated_conv2d 16 upsample", "learned_noise", "lrelu", "modulated_conv2d 16 upsample"),
        *(
            "learned_noise",
            "lrelu",
            "modulated_conv2d 8 upsample",
            "learned_noise",
            "lrelu",
            "modulated_conv2d 8 upsample",
        ),
        *("learned_noise", "lrelu", "modulated_conv2d 3 filter=1 demodulate=false"),
    ],
    "skips": [
        *("linear 10*10*32 initializer=(orthogonal)", "selu", "upsample h=20 w=20", "conv2d 16 padding=0", "selu"),
        *("add self (efficient_attention)", "upsample h=34 w=34", "conv2d 16 padding=0 name=low", "selu"),
        *("upsample h=66 w=66", "cat self (layer low upsample=true)", "conv2d 16 padding=0", "selu"),
        *("efficient_attention 3", "hardtanh"),
    ],
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_take_gradient_penalties(name: str) -> None:
    torch.manual_seed(0)
    critic = build(DISCRIMINATORS[name], (3, 64, 64))
    assert critic.output_shape == (1,)
    real, fake = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    loss = LOSSES["hinge"].d(critic(real), critic(fake)) + gradient_penalty(PENALTIES["r1"], critic, real, fake)
    loss.mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in critic.parameters())


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_train(name: str) -> None:
    """Towards a grey image: half of its distance is gone in a few steps, through every layer."""
    torch.manual_seed(0)
    generator = build(GENERATORS[name], (32,))
    assert generator.output_shape == (3, 64, 64)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.005)
    z = torch.randn(2, 32)
    losses: list[Tensor] = []
    for _ in range(20):
        loss = (generator(z) - 0.3).square().mean()
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in generator.parameters())
    assert losses[-1] < losses[0] / 2


def test_the_table_of_initializers_is_of_whole_networks_too() -> None:
    network = build(["linear 30", "relu", "conv 4"][:2], (20,))
    for initialize in INITIALIZERS.values():
        before = network.get_parameter("0.weight").clone()
        assert initialize(network) is network
        assert not torch.equal(before, network.get_parameter("0.weight"))
