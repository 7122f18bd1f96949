"""A training run's checkpoint → a LoRA adapter in GGUF, as llama.cpp reads it; and back, to train an adapter further.

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
from training.examples import CorpusError

if TYPE_CHECKING:
    import gguf
    import torch
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
    heads = _heads(reader)

    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out, str(reader.fields["general.architecture"].contents()))
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
        if half == "lora_b" and module in heads:
            data = permute(data, heads[module])
        writer.add_tensor(f"blk.{layer}.{NAMES[module]}.weight.{half}", np.ascontiguousarray(data.astype(np.float16)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def adapter_weights(adapter: Path, base: Path, alpha: float) -> dict[str, torch.Tensor]:
    """Return the weights of a GGUF adapter by the names that they have in training: the inverse of `export`.

    Args:
        adapter: A file that `export` wrote.
        base: The GGUF file that it is for.
        alpha: What the weights are to be scaled by in training, divided by their rank.

    Raises:
        CorpusError: The file is no such adapter.
    """
    import gguf
    import torch

    modules = {name: module for module, name in NAMES.items()}
    weights = {}
    try:
        heads, reader = _heads(gguf.GGUFReader(base)), gguf.GGUFReader(adapter)
        own = float(reader.fields["adapter.lora.alpha"].contents())
        for tensor in reader.tensors:
            _, layer, name, _, half = tensor.name.split(".")
            data = np.array(tensor.data, np.float32)
            if half == "lora_b" and modules[name] in heads:
                data = permute_back(data, heads[modules[name]])
            if half == "lora_b":
                data = data * (own / alpha)
            weights[f"model.layers.{layer}.{modules[name]}.{half}"] = torch.from_numpy(data)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise CorpusError(
            f"{adapter} is no adapter to start from: {error}", fix="name a run's folder, or a file that --export wrote"
        ) from error
    return weights


def _heads(base: gguf.GGUFReader) -> dict[str, int]:
    """Return the projections whose rows llama.cpp keeps in another order than transformers, with their heads."""
    architecture = str(base.fields["general.architecture"].contents())
    if architecture != "llama":
        return {}
    counts = {"self_attn.q_proj": "head_count", "self_attn.k_proj": "head_count_kv"}
    return {name: int(base.fields[f"{architecture}.attention.{count}"].contents()) for name, count in counts.items()}


def permute(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows (out, …) of a query or key projection in llama.cpp's order."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def permute_back(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return the rows of a query or key projection in transformers' order."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
