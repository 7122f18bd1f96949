"""Embeddings of the tools and their search: the retrieval half of Tool-RAG that needs no training."""

from index.embedder import DIMENSIONS, Embedder, EncoderError
from index.tool_index import ToolIndex

__all__ = ["DIMENSIONS", "Embedder", "EncoderError", "ToolIndex"]
