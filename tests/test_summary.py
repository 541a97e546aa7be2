"""The summary of a network: shapes, parameters and multiply-adds against counts by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from poise.models import PRESETS, Row, build, summary


def test_layers_as_written() -> None:
    network = build(
        [
            "conv 8 stride=2 name=features",
            "lrelu",
            "deconv 4 groups=2 bias=false",
            "add self (conv 4 filter=1 padding=0)",
            "linear 5 trainable=false",
        ],
        (3, 8, 8),
    )
    assert summary(network, (3, 8, 8)) == [
        Row("features", "conv 8 stride=2 name=features", (8, 4, 4), 8 * 27 + 8, 8 * 27 + 8, 16 * 8 * 27),
        Row("1", "lrelu", (8, 4, 4), 0, 0, 0),
        # Each of 8 x 16 input values meets the 2 x 16 weights of its group.
        Row("2", "deconv 4 groups=2 bias=false", (4, 8, 8), 8 * 2 * 16, 8 * 2 * 16, 8 * 16 * 2 * 16),
        Row("3", "add self (conv 4 filter=1 padding=0)", (4, 8, 8), 20, 20, 64 * 4 * 4),
        Row("4", "linear 5 trainable=false", (5,), 256 * 5 + 5, 0, 256 * 5),
    ]


def test_attention_by_hand() -> None:
    """Maps of 12 positions, and the products of 12 x 12 weights."""
    c, p = 8, 12
    network = build(["attention", "multi_head_attention heads=2", "efficient_attention heads=2"], (c, 3, 4))
    maps, heads, linear = (row.cost for row in summary(network, (c, 3, 4)))
    assert maps == 4 * p * c * 1 + 2 * p * p * 1
    assert heads == 4 * p * c * c + 2 * p * p * c
    assert linear == p * (3 * c * 16 + 16 * c) + 2 * p * 16 * 8


def test_a_modulated_convolution_counts_its_style() -> None:
    network = build(["identity name=w", "const 4*4*6", "modulated_conv2d 5"], (7,))
    row = summary(network, (7,))[2]
    assert row.parameters == 5 * 6 * 9 + 7 * 6 + 6
    assert row.cost == 16 * 5 * 6 * 9 + 7 * 6 + 6 * 5  # the convolution, the style's map, and the norms of the filters


class Gated(nn.Module):
    """Holds and computes something itself, around children."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        self.gate = nn.Parameter(torch.ones(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y @ self.gate


def test_any_module() -> None:
    module = nn.Sequential(nn.Linear(6, 4), Gated(), nn.Linear(3, 1, bias=False))
    assert summary(module, (6,)) == [
        Row("0", "Linear(in_features=6, out_features=4, bias=True)", (4,), 28, 28, 24),
        Row("1", "Gated", (3,), 9, 9, 9),
        Row("1.inner.0", "Linear(in_features=4, out_features=3, bias=True)", (3,), 15, 15, 12),
        Row("1.inner.1", "ReLU()", (3,), 0, 0, 0),
        Row("2", "Linear(in_features=3, out_features=1, bias=False)", (1,), 3, 3, 3),
    ]
    assert summary(nn.Linear(2, 3), (2,)) == [
        Row("", "Linear(in_features=2, out_features=3, bias=True)", (3,), 9, 9, 6)
    ]


def test_a_network_inside_a_module() -> None:
    module = nn.Sequential(nn.Flatten(), build(["linear 4 name=a", "residual (linear 4) (relu)"], (6,)))
    rows = summary(module, (2, 3))
    assert [(row.name, row.layer) for row in rows] == [
        ("0", "Flatten(start_dim=1, end_dim=-1)"),
        ("1.a", "linear 4 name=a"),
        ("1.1", "residual (linear 4) (relu)"),
    ]
    assert rows[2].parameters == 21
    assert rows[2].cost == 16


def test_a_layer_that_runs_twice_is_one_row() -> None:
    shared = nn.Linear(4, 4)
    rows = summary(nn.Sequential(shared, nn.Tanh(), shared), (4,))
    assert [(row.name, row.parameters, row.cost) for row in rows] == [("0", 20, 32), ("1", 0, 0)]


def test_tied_weights_are_counted_once() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    assert [(row.parameters, row.cost) for row in summary(module, (4,))] == [(16, 16), (0, 16)]


def test_parts_that_do_not_run_give_their_parameters_to_what_holds_them() -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=True)

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = module

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]  # type: ignore[no-any-return]

    (row,) = summary(Own(), (5, 8))
    assert (row.name, row.layer, row.output_shape) == ("attention", "MultiheadAttention", ())
    assert row.parameters == 4 * 64 + 4 * 8
    assert row.cost == 4 * 5 * 64 + 2 * 25 * 8


def test_fused_attention_is_counted() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for requires_grad in (True, False):
        rows = summary(layer.requires_grad_(requires_grad), (5, 8))
        assert sum(row.cost for row in rows) == 4 * 5 * 64 + 2 * 25 * 8 + 2 * 5 * 8 * 16
        assert sum(row.parameters for row in rows) == sum(weight.numel() for weight in layer.parameters())
        assert sum(row.trainable for row in rows) == requires_grad * sum(row.parameters for row in rows)


class Recurrent(nn.Module):
    """The outputs of a recurrent layer alone."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("make", "gates", "backward", "layers"),
    [(nn.LSTM, 4, False, 1), (nn.LSTM, 4, True, 2), (nn.GRU, 3, True, 2), (nn.RNN, 1, False, 2)],
)
def test_recurrent_layers_by_hand(make: type[nn.RNNBase], gates: int, backward: bool, layers: int) -> None:
    """At each of 5 positions and for each gate, a product with what comes in and one with what is remembered."""
    module = make(4, 6, layers, batch_first=True, bidirectional=backward)
    (row,) = summary(Recurrent(module), (5, 4))
    ways = 2 if backward else 1
    assert row.cost == 5 * ways * gates * 6 * ((4 + 6) + (layers - 1) * (ways * 6 + 6))
    assert row.parameters == sum(weight.numel() for weight in module.parameters())
    assert torch.backends.mkldnn.enabled
    assert torch.backends.cudnn.enabled


def test_inside_inference_mode() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (1, 2)), nn.Linear(2, 2))
    with torch.inference_mode():
        assert [row.cost for row in summary(network, (3,))] == [6, 0, 4]


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_presets_add_up(name: str) -> None:
    preset = PRESETS[name]
    for network, shape in (
        (preset.generator(z_dim=6, shape=(1, 8, 8), width=4), (6,)),
        (preset.discriminator(shape=(1, 8, 8), width=4), (1, 8, 8)),
    ):
        rows = summary(network, shape)
        assert sum(row.parameters for row in rows) == sum(weight.numel() for weight in network.parameters())
        expected = sum(
            part.weight.numel() * _uses(part, row)
            for part, row in zip([part for part in network.modules() if not list(part.children())], rows, strict=True)
            if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        )
        assert sum(row.cost for row in rows) == expected


def _uses(part: nn.Module, row: Row) -> int:
    """How often each weight is used: once a position of the output, or of the input where it is transposed."""
    if isinstance(part, nn.Linear):
        return 1
    height, width = row.output_shape[1:]
    if isinstance(part, nn.Conv2d):
        return height * width
    return (height // part.stride[0]) * (width // part.stride[1]) if part.stride[0] > 1 else 1


@pytest.mark.parametrize("is_training", [True, False])
def test_nothing_is_disturbed(is_training: bool) -> None:
    network = nn.Sequential(
        build(["batch_norm", "add self noise", "dropout", "linear 4 spectral_norm=true"], (4, 6)),
        spectral_norm(nn.Linear(4, 4)),
        nn.BatchNorm1d(4),
    ).train(is_training)
    network[2].eval()
    modes = [part.training for part in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    fuses = torch.backends.mha.get_fastpath_enabled()
    rows = summary(network, (4, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())
    assert torch.backends.mha.get_fastpath_enabled() is fuses
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    assert [(row.name, row.parameters) for row in rows if row.parameters] == [
        ("0.0", 8),
        ("0.3", 24 * 4 + 4),
        ("1", 20),
        ("2", 8),
    ]


def test_nothing_is_left_behind_by_a_failure() -> None:
    network = nn.Sequential(nn.Linear(3, 2)).train()
    with pytest.raises(RuntimeError):
        summary(network, (4,))
    assert network.training
    assert network[0].training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_batch_norms_without_running_statistics_and_other_types() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)).double()
    assert [row.cost for row in summary(network, (4,))] == [12, 0]
    assert summary(nn.Identity(), (2, 3)) == [Row("", "Identity()", (2, 3), 0, 0, 0)]
