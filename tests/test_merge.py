"""The adapter, merged: the same model as the base with the adapter at run time, made once, never half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.models import adapter_path, base_model_path
from pipeline.planners.loading import open_model
from pipeline.planners.merge import MergeError, adapter_tools, merged
from pipeline.spec import Catalogue

adapter = adapter_path()
pytestmark = pytest.mark.skipif(adapter is None, reason="this installation has no planner's adapter")

PROMPT = "Tools:\nsend_sms(recipients, message)\nRequest: text Ana that I am late\nPlan:\n1. send_sms(["


def logits(model: Path, lora: Path | None = None) -> np.ndarray:
    llama = open_model(model, lora_path=str(lora) if lora else None, n_ctx=256, logits_all=True, verbose=False)
    tokens = llama.tokenize(PROMPT.encode(), add_bos=False)
    llama.eval(tokens)
    result = np.array(llama.scores[: len(tokens)])
    llama.close()
    return result


@pytest.mark.model
def test_merged_is_the_same_model(cache: Path) -> None:
    assert adapter is not None
    at_run_time = logits(base_model_path(), adapter)
    in_the_weights = logits(merged(base_model_path(), adapter, cache / "models" / "merged"))
    without = logits(base_model_path())
    # llama.cpp rounds activations with Q4_1 weights, not so with Q8_0: they agree but for that noise.
    assert np.abs(at_run_time - in_the_weights).mean() < 0.1 * np.abs(at_run_time - without).mean()
    assert (at_run_time[-5:].argmax(1) == in_the_weights[-5:].argmax(1)).all()


def test_merging_is_done_once(cache: Path) -> None:
    assert adapter is not None
    first = merged(base_model_path(), adapter, cache / "models" / "merged")
    stamp = first.stat().st_mtime_ns
    assert merged(base_model_path(), adapter, cache / "models" / "merged") == first
    assert first.stat().st_mtime_ns == stamp
    assert [path.name for path in first.parent.iterdir() if path.name != ".merging"] == [first.name]  # beside the lock


def test_the_adapter_says_which_tools_it_knows(tools: Catalogue) -> None:
    assert adapter is not None
    assert adapter_tools(adapter) == tuple(tools)


def test_a_file_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nonsense")
    with pytest.raises(MergeError, match=r"x\.gguf"):
        merged(base_model_path(), tmp_path / "x.gguf", tmp_path / "cache")
    assert not [*(tmp_path / "cache").rglob("*.gguf")]


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    assert adapter is not None
    (tmp_path / "file").write_text("")
    with pytest.raises(MergeError, match="TINYAGENT_CACHE"):
        merged(base_model_path(), adapter, tmp_path / "file" / "models")


def test_a_model_reads_a_long_prompt_on_any_processor(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where llama.cpp would take the tiles of AMX, it crashes in the first prompt; as if there were some, it must not take them."""
    import llama_cpp

    monkeypatch.setattr(llama_cpp, "llama_print_system_info", lambda: b"CPU : AVX2 = 1 | AMX_INT8 = 1 | ")
    taken = []
    real = llama_cpp.Llama

    def opened(*args: object, **options: object) -> object:
        taken.append(llama_cpp.llama_cpp.llama_model_default_params().use_extra_bufts)
        return real(*args, **options)

    monkeypatch.setattr(llama_cpp, "Llama", opened)
    llama = open_model(merged(base_model_path(), adapter, cache / "models" / "merged"), n_ctx=256, verbose=False)
    llama.eval(llama.tokenize(b"The way to the harbour leads past the old mill. " * 8, add_bos=False))
    llama.close()
    assert taken == [False]
    assert llama_cpp.llama_cpp.llama_model_default_params().use_extra_bufts  # as before
