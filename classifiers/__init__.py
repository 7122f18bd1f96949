"""Which of the known tools a request needs: the trained half of Tool-RAG.

`ToolClassifier` runs the shipped model and needs onnxruntime, tokenizers and numpy. How it is trained,
calibrated and exported is in `train`, `calibration` and `export`, behind the extra `train`.
"""

from classifiers.inference import ARTEFACT, Classification, ClassifierError, ToolClassifier

__all__ = ["ARTEFACT", "Classification", "ClassifierError", "ToolClassifier"]
