"""A run's adapter → GGUF → a run that starts from it: the same weights under the same names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gguf")
pytest.importorskip("torch")

import gguf
import torch

from training.examples import CorpusError
from training.export import NAMES, adapter_weights, export

HEADS, KV_HEADS, WIDTH, RANK = 4, 2, 32, 3


@pytest.fixture
def base(tmp_path: Path) -> Path:
    writer = gguf.GGUFWriter(tmp_path / "base.gguf", "llama")
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return tmp_path / "base.gguf"


def test_an_adapter_comes_back_as_it_was(base: Path, tmp_path: Path) -> None:
    weights = {}
    for module in NAMES:
        outside = KV_HEADS * WIDTH // HEADS if module.endswith(("k_proj", "v_proj")) else WIDTH
        weights[f"model.layers.0.{module}.lora_a"] = torch.randn(RANK, WIDTH).half().float()
        weights[f"model.layers.0.{module}.lora_b"] = torch.randn(outside, RANK).half().float()
    torch.save({"adapter": weights}, tmp_path / "checkpoint.pt")
    (tmp_path / "settings.json").write_text(json.dumps({"alpha": 6, "without": []}))
    export(tmp_path, base, tmp_path / "adapter.gguf")
    read = adapter_weights(tmp_path / "adapter.gguf", base, alpha=6)
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_another_scale_gives_the_same_update(base: Path, tmp_path: Path) -> None:
    a, b = torch.randn(RANK, WIDTH), torch.randn(WIDTH, RANK).half().float()
    name = "model.layers.0.mlp.up_proj"
    torch.save({"adapter": {f"{name}.lora_a": a, f"{name}.lora_b": b}}, tmp_path / "checkpoint.pt")
    (tmp_path / "settings.json").write_text(json.dumps({"alpha": 16, "without": []}))
    export(tmp_path, base, tmp_path / "adapter.gguf")
    read = adapter_weights(tmp_path / "adapter.gguf", base, alpha=64)
    assert torch.allclose(64 * read[f"{name}.lora_b"], 16 * b)


def test_what_is_no_adapter(base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    for content in (b"no model", b"GGUF"):
        broken.write_bytes(content)
        with pytest.raises(CorpusError, match="no adapter to start from"):
            adapter_weights(broken, base, alpha=64)
