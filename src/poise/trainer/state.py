"""Training states as bytes, without pickle: a safetensors file whose header carries everything that is no tensor.

Tensors stand under readable names (``ema.0.weight``, ``d_optimizer.state.0.exp_avg``), so that any safetensors reader
can take the weights out.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from poise.errors import CheckpointError

__all__ = ["pack", "unpack"]

_KEY = "poise"


def pack(state: Mapping[str, Any]) -> bytes:
    """Nested dicts, lists and tuples of tensors and JSON values to the bytes of a safetensors file."""
    tensors: dict[str, Tensor] = {}
    tree = _encode(state, "", tensors)
    return save(tensors, metadata={_KEY: json.dumps(tree)})


def unpack(content: bytes) -> dict[str, Any]:
    """The inverse of :func:`pack`; tensors are on the CPU.

    Raises:
        CheckpointError: when the bytes are not such a file.
    """
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        tree = json.loads(header["__metadata__"][_KEY])
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"this is not a training state of poise: {error}") from error
    state: dict[str, Any] = _decode(tree, tensors)
    return state


def _encode(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Replace what JSON cannot say by one-key objects; put tensors aside by name."""
    if isinstance(value, Tensor):
        # A copy of its own: tied weights would share memory, which the format forbids.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"$tensor": name}
    if isinstance(value, Mapping):
        items = [(key, _encode(item, f"{name}.{key}" if name else str(key), tensors)) for key, item in value.items()]
        return dict(items) if all(isinstance(key, str) for key, _ in items) else {"$items": items}
    if isinstance(value, tuple):
        return {"$tuple": _encode(list(value), name, tensors)}
    if isinstance(value, list):
        return [_encode(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
    return value


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "$tensor" in value:
            return tensors[value["$tensor"]]
        if "$tuple" in value:
            return tuple(_decode(value["$tuple"], tensors))
        if "$items" in value:
            return {key: _decode(item, tensors) for key, item in value["$items"]}
        return {key: _decode(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    return value
