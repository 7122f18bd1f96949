"""A training run's checkpoint → a LoRA adapter in GGUF, as llama.cpp reads it.

Of the llama architecture, transformers keeps the rows of the query and key projections in another order than llama.cpp
(rotary halves against interleaved pairs), so the rows of those adapters' B are permuted back; without that the adapter loads and is silently wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import builtin_tools
from pipeline.planners.merge import TOOLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export(run: Path, base: Path, out: Path) -> None:
    """Write the run's adapter for the base model as GGUF, in float16.

    Args:
        run: The folder of a training run, with `checkpoint.pt` and `settings.json`.
        base: The GGUF file that was trained from.
        out: The file to write.
    """
    import gguf
    import torch

    settings = json.loads((run / "settings.json").read_text())
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    reader = gguf.GGUFReader(base)
    architecture = str(reader.fields["general.architecture"].contents())
    heads = int(reader.fields[f"{architecture}.attention.head_count"].contents())
    kv_heads = int(reader.fields[f"{architecture}.attention.head_count_kv"].contents())

    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(settings["alpha"]))
    writer.add_name(f"TinyAgent planner for {base.stem}")
    writer.add_license("apache-2.0")
    writer.add_array(TOOLS, [name for name in builtin_tools() if name not in settings["without"]])
    for name, weight in state["adapter"].items():
        _, _, layer, rest = name.split(".", 3)
        module, half = rest.rsplit(".", 1)
        data = weight.detach().float().numpy()
        if architecture == "llama" and half == "lora_b" and module.endswith(("q_proj", "k_proj")):
            data = permute(data, heads if module.endswith("q_proj") else kv_heads)
        writer.add_tensor(f"blk.{layer}.{NAMES[module]}.weight.{half}", np.ascontiguousarray(data.astype(np.float16)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows (out, …) of a query or key projection in llama.cpp's order."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
