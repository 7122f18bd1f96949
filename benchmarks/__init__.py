"""What Tool-RAG saves, measured: `make bench`."""
