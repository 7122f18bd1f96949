"""Tokens and time of planning with the selected tools and with all, on the same requests in one run.

    make bench

First form: the requests are the first two examples of each built-in tool; printed are the medians over them.
"""

from __future__ import annotations

from datetime import datetime
from statistics import median

from pipeline import Config, Pipeline, Planning, TinyAgentError
from pipeline.config import SelectionConfig, builtin_tools


def main() -> None:
    """Print a table of the two ways."""
    requests = [example.request for tool in builtin_tools().values() for example in tool.examples[:2]]
    now = datetime(2026, 5, 13, 9, 30)
    print("| tools offered | plans | prompt tokens | selection, ms | plan, ms |\n|---|---|---|---|---|")
    for name, route in (("selected", "auto"), ("all", "all")):
        pipeline = Pipeline(Config(selection=SelectionConfig.model_validate({"route": route})))
        made = [planning for request in ["text Omar hello", *requests] if (planning := _plan(pipeline, request, now))]
        warm = made[1:]  # the first one loads the models
        print(
            f"| {name} | {len(warm)} of {len(requests)} | {median(p.prompt_tokens for p in warm):.0f} "
            f"| {median(p.selection.milliseconds for p in warm):.1f} | {median(p.milliseconds for p in warm):.0f} |"
        )
        pipeline.close()


def _plan(pipeline: Pipeline, request: str, now: datetime) -> Planning | None:
    try:
        return pipeline.plan(request, now)
    except TinyAgentError:
        return None


if __name__ == "__main__":
    main()
