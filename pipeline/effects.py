"""What may run when: which effects on the world are asked about, by which rules, and how an answer counts.

The executor makes a `Proposal` of each call that changes the user's data or reaches other people, right before the call, with the
arguments as the tool will get them and with where each came from. The user's `Rule`s say which are asked about; an `Approver` asks. What it
gives back, an `Approval`, is bound to the very arguments, counts once and expires.

What notes, mails and documents say is data. It may fill a text; where it would choose who is written to, which file is used or which
page is opened, the proposal says so, and no rule lets that pass unasked. Method: control and data flow kept apart, as in CaMeL
(arXiv 2503.18813). This module runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import TinyAgentError
from pipeline.plan import Step
from pipeline.spec import COERCIBLE, CommandTool, Effect, HttpTool, Parameter, ToolSpec, Type
from pipeline.tools.arguments import email_address, ungrouped
from pipeline.tools.context import InvalidArgument, Preview

EXPIRY_S = 300.0  # how long an approval holds


class Unanswered(TinyAgentError):
    """Nobody was there to say yes or no."""

    def __init__(self, proposal: Proposal) -> None:
        careful = f"; {proposal.warnings[0]}" if proposal.warnings else ""
        super().__init__(f"nobody was there to approve it{careful}", fix="'tinyagent runs resume' asks again")


class ApprovalError(TinyAgentError):
    """An approval is for another call, was used already, or has expired."""


@dataclass(frozen=True, slots=True)
class Source:
    """An earlier step whose result is in an argument."""

    step: int
    tool: str
    others: frozenset[str]  # the apps out of which others' words went into its result; with none, it may choose


@dataclass(frozen=True)
class Proposal:
    """A call that is about to be made."""

    step: Step
    tool: ToolSpec
    arguments: Mapping[str, object]  # by parameter name, with the outputs of other steps put in
    sources: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)  # by parameter; without one, the request
    said: Mapping[str, str] = field(default_factory=dict)  # what was looked up to the words that it was looked up by
    run: str = ""  # the id of the run
    preview: Preview | None = None  # what it will act on that is not in its arguments
    like: Step | None = None  # a call of the same tool that this run has made already, if this is another one

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the tool's name, the arguments and what it will act on, in hexadecimal: by which a call is known again."""
        return _sha256([self.tool.name, dict(self.arguments), self.preview.identity if self.preview else ""])

    @cached_property
    def seal(self) -> str:
        """SHA-256 over the call and the text that was written for it, in hexadecimal: what an approval is bound to."""
        written = self.preview.written if self.preview else None
        return _sha256([self.digest, written.text if written else ""])

    @cached_property
    def chosen_by_data(self) -> tuple[str, ...]:
        """The arguments that choose and whose values come from what others wrote."""
        return tuple(
            parameter.name
            for parameter in self.tool.parameters
            if chooses(parameter, self.tool) and any(source.others for source in self.sources.get(parameter.name, ()))
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the person must know before approving; with any, no rule approves in their place."""
        found = [f"{name} comes from {self._origins(name)}, not from your request" for name in self.chosen_by_data]
        found += self.preview.warnings if self.preview else ()
        if self.like:
            found.append(
                f"step {self.like.number} of the first plan was such a call, and it is done: {self.like.text()}"
            )
        return tuple(found)

    def _origins(self, name: str) -> str:
        apps = sorted(frozenset().union(*(source.others for source in self.sources[name])))
        return " and ".join(f"your {app}" for app in apps)

    def approve(self, seconds: float = EXPIRY_S) -> Approval:
        """Return an approval of this call, with just these arguments, once, until `seconds` from now."""
        return Approval(self.run, self.step.number, self.seal, time.time() + seconds, secrets.token_hex(8))


def _sha256(call: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(call, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def chooses(parameter: Parameter, tool: ToolSpec) -> bool:
    """Return whether a parameter says who, which file or which page, or, where something is changed, which name.

    Of tools that authors bring, also what stands in the address of an HTTP call, and what is a whole word of a command, which might
    be taken for one of its options.
    """
    match tool.implementation:
        case HttpTool(url=url) if f"{{{parameter.name}}}" in url:
            return True
        case CommandTool(command=words) if f"{{{parameter.name}}}" in words:
            if "--" not in words[: words.index(f"{{{parameter.name}}}")]:
                return True
    return parameter.type in COERCIBLE or (parameter.verbatim and tool.effect is not Effect.READ)


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes to one call."""

    run: str
    step: int
    seal: str
    until: float  # seconds since the epoch
    nonce: str


class Approvals:
    """Sees to it that each approval counts for its own call, once, in time."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def redeem(self, approval: Approval, proposal: Proposal) -> None:
        """Use an approval for a call.

        Raises:
            ApprovalError: It is not for this call with these arguments, was used before, or has expired.
        """
        if (approval.run, approval.step, approval.seal) != (proposal.run, proposal.step.number, proposal.seal):
            raise ApprovalError(f"the approval is not for this call of {proposal.tool.name}", fix="ask for another")
        if approval.nonce in self._used:
            raise ApprovalError(f"the approval of {proposal.tool.name} was used already", fix="ask for another")
        if time.time() > approval.until:
            raise ApprovalError(f"the approval of {proposal.tool.name} has expired", fix="ask for another")
        self._used.add(approval.nonce)


class Approver(Protocol):
    """Decides whether a proposed call is made. It is asked one question at a time and may take its time."""

    async def __call__(self, proposal: Proposal, /) -> Approval | None:
        """Return `proposal.approve()`, or None to decline.

        Raises:
            Unanswered: Nobody can answer. The call is not made, and may be asked about again when the run is gone on with.
        """
        ...


async def approve_all(proposal: Proposal, /) -> Approval | None:
    """Approve, for users who said that they do not want to be asked, but not what comes with a warning."""
    if proposal.warnings:
        raise Unanswered(proposal)
    return proposal.approve()


async def decline_all(proposal: Proposal, /) -> Approval | None:
    """Approve nothing, where nobody can answer or nothing must be changed."""
    raise Unanswered(proposal)


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    """What is done about a proposal."""

    ALLOW = "allow"  # make the call without asking
    ASK = "ask"
    DENY = "deny"


class Rule(BaseModel):
    """One of the user's rules: "text messages to family need no question"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    do: Verdict
    tool: str = ""  # the rule is for this tool only
    app: str = ""
    effect: Effect | None = None
    # By argument, patterns as of file names ("*@example.com"), for a value itself or for the words by which it was looked up,
    # without regard to case and to how a number is grouped. To allow, each of the values must fit one; else one is enough.
    where: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)

    def fits(self, proposal: Proposal) -> bool:
        """Return whether the rule is about this call."""
        tool = proposal.tool
        if self.tool not in ("", tool.name) or self.app not in ("", tool.app) or self.effect not in (None, tool.effect):
            return False
        return all(self._values_fit(name, patterns, proposal) for name, patterns in self.where.items())

    def _values_fit(self, name: str, patterns: Sequence[str], proposal: Proposal) -> bool:
        value = proposal.arguments.get(name)
        values = [str(item) for item in (value if isinstance(value, list) else [value]) if item not in ("", None)]
        kind = next((parameter.type for parameter in proposal.tool.parameters if parameter.name == name), None)
        folded = [_folded(pattern, kind) for pattern in patterns]
        fitting = [
            any(
                fnmatchcase(_folded(words, kind), pattern)
                for pattern in folded
                for words in (item, proposal.said.get(item, item))
            )
            for item in values
        ]
        return any(fitting) and (self.do is not Verdict.ALLOW or all(fitting))


def _folded(text: str, kind: Type | None) -> str:
    """Return a text as it is compared: in small letters, an address or number as a tool will take it, however it is written."""
    bare = ungrouped(text)
    if re.fullmatch(r"[+\d*?]+", bare) and re.search(r"\d", bare):
        return bare
    if kind is Type.EMAIL and "@" in text:
        with suppress(InvalidArgument):
            return email_address(text).casefold()
    return text.casefold()


def needs_approval(effect: Effect) -> bool:
    """Return whether calls with this effect are asked about where no rule says otherwise: those that write or send are."""
    return effect in (Effect.WRITE, Effect.SEND)


def verdict(proposal: Proposal, rules: Sequence[Rule]) -> Verdict:
    """Return what the first rule that fits says, or the effect where none does; with a warning, never to allow."""
    usual = Verdict.ASK if needs_approval(proposal.tool.effect) else Verdict.ALLOW
    found = next((rule.do for rule in rules if rule.fits(proposal)), usual)
    return Verdict.ASK if found is Verdict.ALLOW and proposal.warnings else found
