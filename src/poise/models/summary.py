"""What a network is made of: for each layer the shape that it gives, its parameters, and what it costs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate, repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from poise.models.conditional import classes_of
from poise.models.network import Network

__all__ = ["Row", "summary"]


class Row(NamedTuple):
    """One layer.

    Attributes:
        name: its path in the module, as in the state dict.
        layer: how it was written, or what torch calls it.
        output_shape: the shape of a sample that it gives; empty where that is no tensor.
        parameters: all its parameters.
        trainable: those of them that require gradients.
        cost: multiply-adds for one sample.
    """

    name: str
    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    cost: int


def summary(module: nn.Module, input_shape: Sequence[int]) -> list[Row]:
    """The layers of a network in the order in which they run.

    Of a :class:`Network`, alone or inside another module, these are the layers as they were written, each with all that
    it holds. Of another module they are its parts without children, and those parts with children that compute or hold
    something themselves. So each parameter stands in one row, and each multiply-add.

    The cost is that of matrix products and convolutions: m k n multiply-adds for the product of an m x k and a k x n
    matrix; for a convolution, every output value (of a transposed one, every input value) times the weights that it
    meets. Biases, activations, normalizations, pooling and interpolation count nothing.

    The module runs once, on zeros, in evaluation mode and without gradients. Its training modes and torch's default
    generators are left as they are.

    Args:
        module: takes one tensor ``(n, *input_shape)``, and labels beside it where it is of classes.
        input_shape: the shape of a sample.
    """
    parts: dict[nn.Module, _Part] = {}
    for part, known in _parts(module):
        parts.setdefault(part, known)
    meter = _Meter()
    with _undisturbed(module), meter, ExitStack() as hooks:
        for part in parts:
            hooks.callback(part.register_forward_pre_hook(meter.enter).remove)
            hooks.callback(part.register_forward_hook(meter.leave).remove)
        x = _zeros(module, input_shape)
        labels = [torch.zeros(len(x), dtype=torch.int64, device=x.device)] if classes_of(module) else []
        module(x, *labels)
    weights = _weights(module, meter.seen)
    rows = []
    for part, measured in meter.seen.items():
        name, text, is_whole = parts[part]
        if is_whole or weights[part] or measured.flops:
            total = sum(weight.numel() for weight in weights[part])
            trainable = sum(weight.numel() for weight in weights[part] if weight.requires_grad)
            # Torch counts a multiply-add as two operations.
            rows.append(Row(name, text, measured.shape, total, trainable, measured.flops // (2 * len(x))))
    return rows


class _Part(NamedTuple):
    """A module to be measured; a whole one is measured with all that it holds."""

    name: str
    text: str
    is_whole: bool


def _parts(module: nn.Module, name: str = "", written: str | None = None) -> Iterator[tuple[nn.Module, _Part]]:
    is_leaf = next(module.children(), None) is None or parametrize.is_parametrized(module)
    kind = type(module).__name__
    text = written or (f"{kind}({module.extra_repr()})" if is_leaf else kind)
    is_whole = is_leaf or written is not None
    yield module, _Part(name, text, is_whole)
    if not is_whole:
        texts: Sequence[str] | repeat[None] = module.texts if isinstance(module, Network) else repeat(None)
        for (key, child), line in zip(module.named_children(), texts, strict=False):
            yield from _parts(child, f"{name}.{key}" if name else key, line)


class _Measured:
    """What was seen of one part."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.flops = 0


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives each operation to the innermost part that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: dict[nn.Module, _Measured] = {}
        self._open: list[nn.Module] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = operation(*args, **(kwargs or {}))
        count = flop_registry.get(operation.overloadpacket)
        if count is not None and self._open:
            self.seen[self._open[-1]].flops += count(*args, **(kwargs or {}), out_val=output)
        return output

    def enter(self, part: nn.Module, inputs: Any) -> None:
        """A hook for before a part runs."""
        self.seen.setdefault(part, _Measured())
        self._open.append(part)

    def leave(self, part: nn.Module, inputs: Any, output: Any) -> None:
        """A hook for after a part ran."""
        self._open.pop()
        if isinstance(output, Tensor):
            self.seen[part].shape = tuple(output.shape[1:])


def _weights(module: nn.Module, seen: Mapping[nn.Module, object]) -> dict[nn.Module, list[nn.Parameter]]:
    """Each parameter given to the innermost part around it that has run."""
    weights: dict[nn.Module, list[nn.Parameter]] = {part: [] for part in seen}
    for path, weight in module.named_parameters():
        around = accumulate(path.split(".")[:-1], lambda outer, key: f"{outer}.{key}")
        owners = [module, *map(module.get_submodule, around)]
        weights[next(owner for owner in reversed(owners) if owner in seen)].append(weight)
    return weights


# Their switches are properties, which torch's annotations do not know.
_LIBRARIES: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Run in evaluation mode, without gradients or a trace, and without what fuses products into one operation.

    Such are attention, on every device, and recurrent layers, by oneDNN on the CPU and by cuDNN on a GPU.
    """
    modes = [(part, part.training) for part in module.modules()]
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers()) if tensor.is_cuda}
    fuses = torch.backends.mha.get_fastpath_enabled()
    libraries = [(library, library.enabled) for library in _LIBRARIES]
    torch.backends.mha.set_fastpath_enabled(False)
    for library, _ in libraries:
        library.enabled = False
    module.eval()
    try:
        with (
            torch.random.fork_rng(sorted(devices, key=str)),
            sdpa_kernel(SDPBackend.MATH),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fuses)
        for library, enabled in libraries:
            library.enabled = enabled
        for part, mode in modes:
            part.training = mode


def _zeros(module: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """As few samples as the module can take: batch norms without running statistics need two."""
    needs_two = any(isinstance(part, _BatchNorm) and part.running_mean is None for part in module.modules())
    weight = next((weight for weight in module.parameters() if weight.is_floating_point()), torch.empty(0))
    return torch.zeros(2 if needs_two else 1, *input_shape, device=weight.device, dtype=weight.dtype)
