"""Opens a GGUF file with llama.cpp, without the part of it that crashes on some processors.

Where a processor multiplies matrices in tiles (Intel's AMX), llama.cpp keeps the weights in a form of their own for it, and then ends the whole process by
a segmentation fault in the first prompt of more than a few tokens (llama.cpp's issue 20824, met here with Q8_0 on a Xeon). There the weights
stay as they are, which the vector instructions read.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

_opening = threading.Lock()


def open_model(model: Path, **options: Any) -> Any:
    """Return the model, a `llama_cpp.Llama`.

    Args:
        model: A GGUF file.
        options: Of `llama_cpp.Llama`.

    Raises:
        ValueError, RuntimeError: llama.cpp cannot load it.
    """
    import llama_cpp
    from llama_cpp import llama_cpp as library

    if b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info():
        return llama_cpp.Llama(str(model), **options)
    with _opening:  # `Llama` has no option for it
        defaults = library.llama_model_default_params

        def plain() -> Any:
            parameters = defaults()
            parameters.use_extra_bufts = False
            return parameters

        library.llama_model_default_params = plain
        try:
            return llama_cpp.Llama(str(model), **options)
        finally:
            library.llama_model_default_params = defaults
