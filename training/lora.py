"""Low-rank adapters (LoRA, arXiv 2106.09685) on the linear layers of a llama-architecture model.

The frozen weight and the adapter stand side by side: y = W x + (alpha / rank) B A x, with A (rank, in) and B (out, rank). It is
these lines rather than the peft library because on two CPU cores peft's bookkeeping of dtypes took a third of the time of
a step.

Products with the frozen weights, nine tenths of all, may be taken in int8, which the VNNI instructions of recent CPUs do four
times as fast as bfloat16: each row of the activations is scaled to its largest value, each output channel of the weights to
its; backwards, each row of the gradients and each input channel of the weights. Method: SwitchBack (arXiv 2304.13013); the adapter's
own products and gradients stay in bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable update of low rank, zero at first."""

    def __init__(self, base: nn.Module, sizes: tuple[int, int], rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        inside, outside = sizes
        self.base = base
        self.scale = alpha / rank
        self.dropout = dropout
        self.lora_a = nn.Parameter(torch.randn(rank, inside) / inside**0.5)
        self.lora_b = nn.Parameter(torch.zeros(outside, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        inner = F.dropout(F.linear(x, self.lora_a), self.dropout, self.training)
        update: torch.Tensor = F.linear(inner, self.lora_b * self.scale)
        return update.add_(self.base(x))


class Int8Linear(nn.Module):
    """A frozen linear layer without bias, its products in int8 both ways."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Quantise a weight of shape (out, in)."""
        super().__init__()
        for name, rows in (("forth", weight), ("back", weight.t())):
            scale = rows.float().abs().amax(1).clamp_min(1e-12) / 127
            self.register_buffer(
                name, (rows / scale[:, None]).round().to(torch.int8).contiguous().t(), persistent=False
            )
            self.register_buffer(f"{name}_scale", scale, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        product: torch.Tensor = _Int8Product.apply(x, self.forth, self.forth_scale, self.back, self.back_scale)
        return product


class _Int8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        forth, forth_scale, back, back_scale = weights
        ctx.save_for_backward(back, back_scale)
        return _product(x, forth, forth_scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _product(gradients[0], *ctx.saved_tensors), None, None, None, None


def _product(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return x (..., in) times a quantised weight (in, out), in bfloat16."""
    rows = x.reshape(-1, x.shape[-1]).float()
    most = rows.abs().amax(-1, keepdim=True).clamp_min(1e-20) / 127
    whole = torch._int_mm((rows / most).round().to(torch.int8), weight)
    return (whole * (most * scale)).to(torch.bfloat16).view(*x.shape[:-1], weight.shape[1])


def add_lora(model: nn.Module, rank: int, alpha: float, dropout: float = 0.0, *, int8: bool = False) -> None:
    """Freeze the model and put an adapter on each layer named in `TARGETS`, in place.

    The frozen weights there become bfloat16, so that autocast need not cast them at every step, or int8.
    """
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in TARGETS and isinstance(child, nn.Linear):
                frozen = Int8Linear(child.weight) if int8 and child.bias is None else child.bfloat16()
                sizes = (child.in_features, child.out_features)
                setattr(module, name, LoraLinear(frozen, sizes, rank, alpha, dropout))


def lora_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the adapter's weights by name, such as `model.layers.0.self_attn.q_proj.lora_a`."""
    return ((name, weight) for name, weight in model.named_parameters() if ".lora_" in name)
