"""A Python tool in a process of its own: `python -m pipeline.tools.worker` reads one call from its input and prints the answer.

For tools that may hang, in a library or a device: a process can be killed, a thread cannot. Both directions are JSON. The writer that
such a tool is lent is the one without a model.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pipeline.tools.context as errors
from pipeline.errors import TinyAgentError
from pipeline.tools.context import Ambiguous, InDoubt, ToolContext, ToolError, recording, report


def question(tool: str, place: str, arguments: Mapping[str, object], context: ToolContext) -> bytes:
    """Return a call as the worker reads it."""
    lent = {
        "data_dir": str(context.data_dir),
        "now": context.now.isoformat(),
        "request": context.request,
        "settings": context.settings,
        "key": context.key,
        "previewed": context.previewed,
    }
    call = {"tool": tool, "place": place, "arguments": dict(arguments), "context": lent}
    return json.dumps(call, default=str).encode()


def answer(tool: str, said: bytes, status: int | None) -> str:
    """Return the output that a worker's answer holds, and report the changes that its tool made.

    Raises:
        ToolError: The tool raised it there.
        InDoubt: The process died.
    """
    try:
        found = json.loads(said)
    except ValueError:
        raise InDoubt(
            f"{tool}: its process ended with status {status} and no answer", fix="it may have done what was asked: look"
        ) from None
    for change in found["changes"]:
        parts: dict[str, Any] = {name: base64.b64decode(change[name]) for name in ("removed", "inserted", "before")}
        parts |= {name: change[name] for name in ("created", "digest", "account", "place")}
        report(errors.Change(Path(change["path"]), **parts))
    if "output" in found:
        return str(found["output"])
    kind = getattr(errors, found["kind"], ToolError)
    if kind is Ambiguous:
        raise Ambiguous(found["message"], candidates=found["candidates"], fix=found["fix"])
    raise (kind if issubclass(kind, ToolError) else ToolError)(found["message"], fix=found["fix"])


def main() -> None:
    """Make the call that stands on standard input."""
    from pipeline.agents import PlainWriter
    from pipeline.tools.invoke import call_python

    call = json.load(sys.stdin)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the tool prints is no part of the answer
    lent = call["context"]
    context = ToolContext(
        Path(lent["data_dir"]),
        datetime.fromisoformat(lent["now"]),
        lent["request"],
        PlainWriter(),
        lent["settings"],
        lent["key"],
        lent["previewed"],
    )
    found: dict[str, Any]
    with recording() as changes:
        try:
            found = {"output": call_python(call["tool"], call["place"], call["arguments"], context)}
        except TinyAgentError as error:
            found = {"kind": type(error).__name__, "message": error.message, "fix": error.fix}
            found["candidates"] = getattr(error, "candidates", [])
    found["changes"] = [
        {
            "path": str(change.path),
            "created": change.created,
            "removed": base64.b64encode(change.removed).decode(),
            "inserted": base64.b64encode(change.inserted).decode(),
            "before": base64.b64encode(change.before).decode(),
            "digest": change.digest,
            "account": change.account,
            "place": change.place,
        }
        for change in changes
    ]
    json.dump(found, out)
    out.flush()


if __name__ == "__main__":
    main()
