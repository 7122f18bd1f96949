"""Base model + LoRA adapter → one GGUF file, in Q8_0 unless another type is wanted, made once and kept in the cache.

An adapter that llama.cpp applies at run time doubles the time of a plan; merged into the weights it costs nothing. Merging is
done in float32 from the base's own (quantised) weights, written as F16, and quantised by llama.cpp. Takes and gives files; knows nothing of planning. Method: W + (alpha / rank) B A, LoRA (arXiv 2106.09685).
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from pipeline.errors import TinyAgentError
from pipeline.models import remembered_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOOLS = "tinyagent.tools"  # the adapter's metadata that names the tools it was trained on
FORMAT = 2  # of the merged file; a new one makes old files stale


class MergeError(TinyAgentError):
    """The adapter does not belong to the base, or a file cannot be read or written."""


def merged(base: Path, adapter: Path, cache: Path, weights: str = "Q8_0") -> Path:
    """Return the merged model, made now if it is not in `cache` yet.

    Args:
        base: A GGUF model of llama architecture.
        adapter: A LoRA adapter in GGUF, made for it.
        cache: The folder for merged models.
        weights: Their type: F16, Q8_0 or Q4_0.

    Raises:
        MergeError: See there.
    """
    try:
        key = f"{FORMAT}:{remembered_sha256(base)}:{hashlib.sha256(adapter.read_bytes()).hexdigest()}"
    except OSError as error:
        raise MergeError(f"{error.filename} cannot be read: {error.strerror}", fix="correct planner.adapter") from error
    path = cache / f"{base.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.{weights}.gguf"
    if path.exists():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".merging"), tempfile.TemporaryDirectory(dir=cache, prefix=".merge-") as scratch:
            if path.exists():  # another process made it meanwhile
                return path
            half, small = Path(scratch) / "f16.gguf", Path(scratch) / "small.gguf"
            merge(base, adapter, half)
            if weights != "F16":
                _quantise(half, small, weights)
            os.replace(half if weights == "F16" else small, path)
    except OSError as error:
        raise MergeError(
            f"the merged model cannot be written to {cache}: {error.strerror or error}",
            fix="make room there, or set TINYAGENT_CACHE to another folder",
        ) from error
    return path


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write base + adapter to `out` as F16."""
    import gguf
    from gguf.quants import dequantize

    try:
        reader, lora = gguf.GGUFReader(base), gguf.GGUFReader(adapter)
    except (ValueError, OSError) as error:
        raise MergeError(f"{base} or {adapter} is not a GGUF file: {error}") from error
    alpha = float(lora.fields["adapter.lora.alpha"].contents())
    halves = {tensor.name: np.array(tensor.data, np.float32) for tensor in lora.tensors}
    updated = {name.removesuffix(".lora_a") for name in halves if name.endswith(".lora_a")}
    if unknown := updated - {tensor.name for tensor in reader.tensors}:
        raise MergeError(f"{adapter.name} does not belong to {base.name}: that has no {sorted(unknown)[0]}")

    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        _copy_field(writer, field)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for tensor in reader.tensors:
        weight: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name in updated:
            a, b = halves[f"{tensor.name}.lora_a"], halves[f"{tensor.name}.lora_b"]
            if weight.shape != (b.shape[0], a.shape[1]):
                raise MergeError(f"{adapter.name} does not belong to {base.name}: {tensor.name} has another shape")
            weight = weight + (alpha / a.shape[0]) * (b @ a)
        writer.add_tensor(tensor.name, weight if weight.ndim == 1 else weight.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def adapter_tools(adapter: Path) -> tuple[str, ...]:
    """Return the names of the tools that an adapter was trained on, as its file says."""
    import gguf

    try:
        field = gguf.GGUFReader(adapter).fields.get(TOOLS)
    except (ValueError, OSError) as error:
        raise MergeError(f"{adapter} is not a GGUF file: {error}") from error
    return tuple(field.contents()) if field else ()


def _quantise(half: Path, small: Path, weights: str) -> None:
    import llama_cpp

    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)  # it reports each tensor
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{weights}")
    if llama_cpp.llama_model_quantize(str(half).encode(), str(small).encode(), options) != 0:
        raise MergeError(f"llama.cpp cannot quantise {half}", fix="is the disk full?")


def _copy_field(writer: Any, field: Any) -> None:
    """Copy a metadata field, but for those that the writer sets itself."""
    import gguf

    own = ("general.architecture", "general.file_type", "general.quantization_version")
    if field.name.startswith("GGUF.") or field.name in own:
        return
    kind = field.types[0]
    item = field.types[-1] if kind is gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=item)
