"""What may run when: which effects on the world are asked about, and how.

The executor makes a `Proposal` of each call that changes the user's data or reaches other people and gives
it to an `Approver` right before the call, with the arguments as the tool will get them. Whom to ask and how
is the approver's: a prompt of the command line, a dialog, a rule. This module runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from pipeline.plan import Step
from pipeline.spec import Effect, ToolSpec


@dataclass(frozen=True)
class Proposal:
    """A call that is about to be made."""

    step: Step
    tool: ToolSpec
    arguments: Mapping[str, object]  # by parameter name, with the outputs of other steps put in

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the tool's name and the arguments, in hexadecimal: what an approval is bound to."""
        call = [self.tool.name, dict(self.arguments)]
        return hashlib.sha256(json.dumps(call, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Approver(Protocol):
    """Decides whether a proposed call is made. It is asked one question at a time and may take its time."""

    async def __call__(self, proposal: Proposal, /) -> bool:
        """Return whether to go on; the answer holds for this proposal, once."""
        ...


def needs_approval(effect: Effect) -> bool:
    """Return whether calls with this effect are asked about: those that write or send are."""
    return effect in (Effect.WRITE, Effect.SEND)


async def approve_all(proposal: Proposal, /) -> bool:
    """Approve, for users who said that they do not want to be asked."""
    return True


async def decline_all(proposal: Proposal, /) -> bool:
    """Decline, for runs that must not change anything."""
    return False
