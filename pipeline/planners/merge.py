"""Base model + LoRA adapter → one GGUF file in Q8_0, made once and kept in the cache.

An adapter that llama.cpp applies at run time doubles the time of a plan; merged into the weights it costs nothing. Merging is
done in float32 from the base's own (quantised) weights, and stored as Q8_0, which loses nothing that can be measured.
Takes and gives files; knows nothing of planning. Method: W + (alpha / rank) B A, LoRA (arXiv 2106.09685).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import TinyAgentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1  # of the merged file; a new one makes old files stale


class MergeError(TinyAgentError):
    """The adapter does not belong to the base, or a file cannot be read or written."""


def merged(base: Path, adapter: Path, cache: Path) -> Path:
    """Return the merged model, made now if it is not in `cache` yet.

    Args:
        base: A GGUF model of llama architecture.
        adapter: A LoRA adapter in GGUF, made for it.
        cache: The folder for merged models.

    Raises:
        MergeError: See there.
    """
    stat = base.stat()
    key = f"{FORMAT}:{base.name}:{stat.st_size}:{hashlib.sha256(adapter.read_bytes()).hexdigest()}"
    path = cache / f"{base.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.Q8_0.gguf"
    if path.exists():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, prefix=".merge-", suffix=".gguf", delete=False) as scratch:
            pass
        try:
            merge(base, adapter, Path(scratch.name))
            os.replace(scratch.name, path)
        finally:
            Path(scratch.name).unlink(missing_ok=True)
    except OSError as error:
        raise MergeError(
            f"the merged model cannot be written to {cache}: {error.strerror or error}",
            fix="make room there, or set TINYAGENT_CACHE to another folder",
        ) from error
    return path


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write base + adapter to `out` as Q8_0."""
    import gguf
    from gguf.quants import dequantize, quantize

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
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for tensor in reader.tensors:
        weight: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name in updated:
            a, b = halves[f"{tensor.name}.lora_a"], halves[f"{tensor.name}.lora_b"]
            if weight.shape != (b.shape[0], a.shape[1]):
                raise MergeError(f"{adapter.name} does not belong to {base.name}: {tensor.name} has another shape")
            weight = weight + (alpha / a.shape[0]) * (b @ a)
        if weight.ndim == 1:
            writer.add_tensor(tensor.name, weight)
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(tensor.name, quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_field(writer: Any, field: Any) -> None:
    """Copy a metadata field, but for those that the writer sets itself."""
    import gguf

    own = ("general.architecture", "general.file_type", "general.quantization_version")
    if field.name.startswith("GGUF.") or field.name in own:
        return
    kind = field.types[0]
    item = field.types[-1] if kind is gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=item)
