"""TinyAgent at the edge: a request in plain words becomes an executed plan, on your own machine.

    from pipeline import Pipeline, approve_all

    result = Pipeline().run("Text Priya that I'm ten minutes late", approve=approve_all)
    print(result.answer.text)

Importing this module is cheap; models are loaded when a request first needs them.
"""

from pipeline.config import Config
from pipeline.effects import Approver, Proposal, approve_all, decline_all
from pipeline.errors import TinyAgentError
from pipeline.pipeline import Pipeline, Planning, Result
from pipeline.plan import Plan, Step, parse_plan
from pipeline.selection import Route, Selection
from pipeline.spec import Catalogue, ToolSpec, load_catalogue, load_spec

__all__ = [
    "Approver",
    "Catalogue",
    "Config",
    "Pipeline",
    "Plan",
    "Planning",
    "Proposal",
    "Result",
    "Route",
    "Selection",
    "Step",
    "TinyAgentError",
    "ToolSpec",
    "approve_all",
    "decline_all",
    "load_catalogue",
    "load_spec",
    "parse_plan",
]
