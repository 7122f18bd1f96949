"""Low-rank adapters (LoRA, arXiv 2106.09685) on the linear layers of a llama-architecture model.

The frozen weight and the adapter stand side by side: y = W x + (alpha / rank) B A x, with A (rank, in) and B (out, rank). It is
these twenty lines rather than the peft library because on two CPU cores peft's bookkeeping of dtypes took a third of the time of
a step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable update of low rank, zero at first."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.dropout = dropout
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        inner = F.dropout(F.linear(x, self.lora_a), self.dropout, self.training)
        update: torch.Tensor = F.linear(inner, self.lora_b * self.scale)
        return update.add_(self.base(x))


def add_lora(model: nn.Module, rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Freeze the model and put an adapter on each layer named in `TARGETS`, in place.

    The frozen weights there become bfloat16, so that autocast need not cast them at every step.
    """
    model.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in TARGETS and isinstance(child, nn.Linear):
                setattr(module, name, LoraLinear(child.bfloat16(), rank, alpha, dropout))


def lora_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the adapter's weights by name, such as `model.layers.0.self_attn.q_proj.lora_a`."""
    return ((name, weight) for name, weight in model.named_parameters() if ".lora_" in name)
