"""How a plan is run: what starts when, what a failure takes with it, who is asked, what is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.effects import Approval, Approver, Proposal, Rule, approve_all, chooses, decline_all, needs_approval
from pipeline.executor import EffectTimeout, Executor, InputMissing, Limits, Outcome, RunTimeout, Status, StepTimeout
from pipeline.plan import Plan, PlanError, Ref, Step, Template, parse_plan
from pipeline.spec import Catalogue, Effect, ToolSpec
from pipeline.tools.context import Ambiguous, NotFound, ToolContext, ToolError, Unreachable


def tool(name: str, parameters: str = "", *, function: str = "", effect: str = "read", **more: Any) -> ToolSpec:
    """Return a spec for `function` of this module, with string parameters (`*names` is a list)."""
    return ToolSpec.model_validate(
        {
            "name": name,
            "app": "tests",
            "description": "A tool made up for a test.",
            "parameters": [
                {"name": word.lstrip("*"), "type": "list[string]" if word.startswith("*") else "string"}
                for word in parameters.split()
            ],
            "effect": effect,
            "implementation": {"python": f"{__name__}:{function or name}"},
            **more,
        }
    )


class World:
    """What the tools of a test share; they reach it through the context's settings."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.barrier = threading.Barrier(2)
        self.gate = threading.Event()

    def context(self) -> ToolContext:
        writer: Any = SimpleNamespace()
        return ToolContext(Path("data"), datetime(2025, 3, 4, 9), "", writer, {"test": {"world": self}})


def world_of(context: ToolContext) -> World:
    world = context.settings["test"]["world"]
    assert isinstance(world, World)
    return world


def look_up(context: ToolContext, /, *, name: str) -> str:
    world_of(context).calls.append(("look_up", name))
    if name == "Nobody":
        raise NotFound("there is no contact 'Nobody'", fix="did you mean Norbert?")
    return f"+1 {name}"


def send(context: ToolContext, /, *, to: list[str], text: str) -> str:
    world_of(context).calls.append(("send", (to, text)))
    return f"Sent {text!r} to {', '.join(to)}."


def meet(context: ToolContext, /) -> str:
    """Return when another call of it runs at the same time."""
    world_of(context).barrier.wait(10)
    return "met"


def wait(context: ToolContext, /) -> str:
    world_of(context).gate.wait(10)
    return "waited"


def open_gate(context: ToolContext, /, *, text: str) -> str:
    world_of(context).gate.set()
    return text


def last_but_slow(context: ToolContext, /) -> str:
    world_of(context).gate.wait(0.1)
    world_of(context).calls.append(("read", ""))
    return "read"


def note_down(context: ToolContext, /) -> str:
    world_of(context).calls.append(("changed", ""))
    world_of(context).gate.set()
    return "changed"


LOOK_UP = tool("look_up", "name")
SEND = tool("send", "*to text", effect="send")
TOOLS = Catalogue([LOOK_UP, SEND, tool("meet"), tool("wait"), tool("open_gate", "text", app="doors")])


def run(
    plan: str | Plan,
    world: World | None = None,
    *,
    tools: Catalogue = TOOLS,
    approve: Approver = approve_all,
    **more: Any,
) -> tuple[Outcome, ...]:
    """Run a plan to its end and check that no task is left."""

    async def main() -> tuple[Outcome, ...]:
        executor = Executor(tools, (world or World()).context(), approve, **more)
        outcomes = await executor.run(parse_plan(plan) if isinstance(plan, str) else plan)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcomes

    return asyncio.run(main())


def statuses(outcomes: Iterable[Outcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


# --- what starts when ---------------------------------------------------------------------------------------


def test_a_change_waits_for_what_was_asked_of_its_app_before() -> None:
    """What is shown is what was there when it was asked for."""
    world = World()
    slow, change = tool("slow", function="last_but_slow"), tool("change", effect="write", function="note_down")
    outcomes = run("1. slow()\n2. change()\n3. join()", world, tools=Catalogue([slow, change]))
    assert statuses(outcomes) == [Status.DONE] * 2
    assert [name for name, _ in world.calls] == ["read", "changed"]


def test_outputs_become_arguments() -> None:
    world = World()
    outcomes = run(
        """
        1. look_up("Ana")
        2. look_up("Bo")
        3. send(["$1", "$2", "5"], "Ana has $1")
        4. join()
        """,
        world,
    )
    assert statuses(outcomes) == [Status.DONE] * 3
    assert world.calls[-1] == ("send", (["+1 Ana", "+1 Bo", "5"], "Ana has +1 Ana"))
    assert outcomes[2].output == "Sent 'Ana has +1 Ana' to +1 Ana, +1 Bo, 5."


def test_independent_steps_run_at_the_same_time() -> None:
    assert statuses(run("1. meet()\n2. meet()\n3. join()")) == [Status.DONE, Status.DONE]


def test_a_step_waits_for_its_inputs_and_for_nothing_else() -> None:
    """`wait` ends only once step 3 has run, which needs step 2 alone."""
    outcomes = run('1. wait()\n2. look_up("Ana")\n3. open_gate("$2")\n4. join()')
    assert statuses(outcomes) == [Status.DONE] * 3


def test_a_plan_without_steps_has_no_outcomes() -> None:
    assert run("1. join()") == ()


@pytest.mark.parametrize("call", ['fly("Rome")', "look_up()", 'look_up("a", "b")', 'look_up(name="a")'])
def test_a_plan_that_is_not_a_full_plan_of_the_tools_is_refused_before_anything_runs(call: str) -> None:
    world = World()
    with pytest.raises(PlanError, match="step 2: this is not a full call"):
        run(f'1. look_up("Ana")\n2. {call}\n3. join()', world)
    assert world.calls == []


def test_a_dry_run_runs_and_asks_nothing() -> None:
    world = World()
    outcomes = run('1. look_up("Ana")\n2. send(["$1"], "Hi")\n3. join()', world, approve=decline_all, dry_run=True)
    assert [o.output for o in outcomes] == ["<look_up>", "<send>"]
    assert statuses(outcomes) == [Status.DONE] * 2
    assert world.calls == []


# --- what a failure takes with it ---------------------------------------------------------------------------


def test_a_failure_skips_what_needs_it_and_nothing_else() -> None:
    world = World()
    outcomes = run(
        """
        1. look_up("Nobody")
        2. look_up("Ana")
        3. send(["$1"], "Hi")
        4. look_up("$3")
        5. send(["$2"], "Hi")
        6. join()
        """,
        world,
    )
    failed, done, skipped = Status.FAILED, Status.DONE, Status.SKIPPED
    assert statuses(outcomes) == [failed, done, skipped, skipped, done]
    assert isinstance(outcomes[0].error, NotFound)
    assert str(outcomes[2].error) == "send was not started: it needs step 1, look_up, which failed"
    assert str(outcomes[3].error) == "look_up was not started: it needs step 1, look_up, which failed"
    assert isinstance(outcomes[3].error, InputMissing)
    assert outcomes[3].error.cause is outcomes[0]
    assert [call for call in world.calls if call[0] == "send"] == [("send", (["+1 Ana"], "Hi"))]


@pytest.mark.parametrize(
    ("effect", "status", "kind"),
    [
        ("read", Status.FAILED, StepTimeout),
        ("write", Status.IN_DOUBT, EffectTimeout),
        ("send", Status.IN_DOUBT, EffectTimeout),
    ],
)
def test_a_step_that_takes_too_long_fails_or_is_in_doubt(effect: str, status: Status, kind: type[ToolError]) -> None:
    world = World()
    (outcome,) = run("1. wait()\n2. join()", world, tools=Catalogue([tool("wait", effect=effect, timeout=0.05)]))
    world.gate.set()
    assert outcome.status is status
    assert isinstance(outcome.error, kind)
    assert not outcome.error.mendable
    assert outcome.output is None
    assert "did not finish within 0.05 s" in str(outcome.error)


# --- who is asked -------------------------------------------------------------------------------------------


def test_only_writes_and_sends_are_asked_about() -> None:
    assert [effect.value for effect in Effect if needs_approval(effect)] == ["write", "send"]


def test_the_question_shows_the_arguments_as_the_tool_gets_them() -> None:
    asked: list[Proposal] = []

    async def approve(proposal: Proposal) -> Approval | None:
        asked.append(proposal)
        return proposal.approve()

    run('1. look_up("Ana")\n2. send(["$1"], "Hi")\n3. join()', approve=approve)
    (proposal,) = asked
    assert (proposal.step.number, proposal.tool.name) == (2, "send")
    assert proposal.arguments == {"to": ["+1 Ana"], "text": "Hi"}


def test_a_digest_stands_for_the_tool_and_all_arguments() -> None:
    step = Step(1, "send")
    proposal = Proposal(step, SEND, {"to": ["1"], "text": "Hi"})
    assert proposal.digest == Proposal(Step(7, "send"), SEND, {"text": "Hi", "to": ["1"]}).digest
    others = [
        Proposal(step, SEND, {"to": ["2"], "text": "Hi"}),
        Proposal(step, SEND, {"to": ["1"], "text": "Ho"}),
        Proposal(step, LOOK_UP, {"to": ["1"], "text": "Hi"}),
    ]
    assert len({proposal.digest, *(other.digest for other in others)}) == 4


def test_a_declined_step_is_not_run_and_neither_is_what_needs_it() -> None:
    world = World()
    outcomes = run('1. send(["5"], "Hi")\n2. look_up("$1")\n3. look_up("Ana")\n4. join()', world, approve=decline_all)
    assert statuses(outcomes) == [Status.DECLINED, Status.SKIPPED, Status.DONE]
    assert str(outcomes[1].error) == "look_up was not started: it needs step 1, send, which was not approved"
    assert world.calls == [("look_up", "Ana")]


def test_one_question_is_asked_at_a_time_and_reads_go_on_meanwhile() -> None:
    asking = most = 0
    world = World()

    async def approve(proposal: Proposal) -> Approval | None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.to_thread(world.gate.wait, 10)  # which a read opens, while the question stands
        asking -= 1
        return proposal.approve()

    plan = '1. send(["5"], "a")\n2. send(["5"], "b")\n3. send(["5"], "c")\n4. open_gate("")\n5. join()'
    assert statuses(run(plan, world, approve=approve)) == [Status.DONE] * 4
    assert most == 1


def test_time_spent_on_the_answer_is_not_the_tools() -> None:
    async def approve(proposal: Proposal) -> Approval | None:
        await asyncio.sleep(0.6)
        return proposal.approve()

    slow_to_ask = tool("send", "*to text", effect="send", timeout=0.5)
    (outcome,) = run('1. send(["5"], "Hi")\n2. join()', tools=Catalogue([slow_to_ask]), approve=approve)
    assert outcome.status is Status.DONE


def test_a_broken_approver_ends_the_run_with_its_own_error() -> None:
    async def approve(proposal: Proposal) -> Approval | None:
        raise EOFError("nobody there")

    world = World()
    with pytest.raises(EOFError, match="nobody there"):
        run('1. send(["5"], "Hi")\n2. wait()\n3. join()', world, approve=approve)
    world.gate.set()
    assert world.calls == []


def test_the_caller_is_told_of_starts_and_ends() -> None:
    told: list[str] = []
    run(
        '1. look_up("Nobody")\n2. send(["$1"], "Hi")\n3. join()',
        on_start=lambda step: told.append(f"start {step.number}"),
        on_outcome=lambda outcome: told.append(f"{outcome.status} {outcome.step.number}"),
    )
    assert told == ["start 1", "failed 1", "skipped 2"]


# --- what an answer is good for ------------------------------------------------------------------------------


def test_an_approval_counts_once() -> None:
    """The same text twice is two calls; the yes to the first is not one to the second."""
    kept: list[Approval] = []

    async def approve(proposal: Proposal) -> Approval | None:
        kept.append(proposal.approve())
        return kept[0]

    world = World()
    plan = '1. send(["5"], "Hi")\n2. send(["5"], "Hi")\n3. join()'
    first, second = run(plan, world, approve=approve)
    assert {first.status, second.status} == {Status.DONE, Status.DECLINED}
    assert len(world.calls) == 1


def test_an_approval_of_other_arguments_does_not_count() -> None:
    async def approve(proposal: Proposal) -> Approval | None:
        return Proposal(proposal.step, proposal.tool, {"to": ["6"], "text": "Hi"}, run=proposal.run).approve()

    world = World()
    (outcome,) = run('1. send(["5"], "Hi")\n2. join()', world, approve=approve)
    assert outcome.status is Status.DECLINED
    assert "the approval is not for this call of send" in str(outcome.error)
    assert world.calls == []


def test_an_approval_expires() -> None:
    async def approve(proposal: Proposal) -> Approval | None:
        return proposal.approve(seconds=-1)

    (outcome,) = run('1. send(["5"], "Hi")\n2. join()', approve=approve)
    assert outcome.status is Status.DECLINED
    assert "has expired" in str(outcome.error)


# --- the user's rules ----------------------------------------------------------------------------------------


PHONE = tool(
    "phone_of", "name", function="look_up", returns={"type": "phone", "trusted": True}, coerces={"from": "person"}
)
NOTE = tool("read_note", "name", function="look_up", returns={"type": "string"})
CARD = tool("phone_in", "name", function="look_up", returns={"type": "phone"})
TEXT = ToolSpec.model_validate(
    {
        **tool("text_to", effect="send", function="send").model_dump(mode="json", exclude={"parameters", "coerces"}),
        "parameters": [{"name": "to", "type": "list[phone]"}, {"name": "text", "type": "string"}],
    }
)
PEOPLE = Catalogue([PHONE, NOTE, CARD, TEXT])


def never(proposal: Proposal) -> Any:
    raise AssertionError("nobody should be asked")


def test_a_rule_saves_the_question_for_those_whom_it_names() -> None:
    rule = Rule.model_validate({"do": "allow", "tool": "text_to", "where": {"to": ["mum", "+1 Dad"]}})
    plan = '1. phone_of("Mum")\n2. phone_of("Dad")\n3. text_to(["$1", "$2"], "Hi")\n4. join()'
    assert statuses(run(plan, tools=PEOPLE, approve=never, rules=[rule])) == [Status.DONE] * 3
    with pytest.raises(AssertionError, match="nobody should be asked"):
        run('1. phone_of("Boss")\n2. text_to(["$1"], "Hi")\n3. join()', tools=PEOPLE, approve=never, rules=[rule])


def test_to_forbid_one_value_that_fits_is_enough() -> None:
    """However a number is grouped; adding a recipient is no way around."""
    rules = [Rule.model_validate({"do": "deny", "where": {"to": ["+34600*"]}}), Rule.model_validate({"do": "allow"})]
    (outcome,) = run('1. text_to(["555", "+34 600-123"], "Hi")\n2. join()', tools=PEOPLE, approve=never, rules=rules)
    assert outcome.status is Status.DECLINED
    (outcome,) = run('1. text_to(["555"], "Hi")\n2. join()', tools=PEOPLE, approve=never, rules=rules)
    assert outcome.status is Status.DONE


@pytest.mark.parametrize("number", ["555-0134", "555\u20110134", "tel:555-0134", " 5550134", "555\u202f0134"])
def test_a_number_is_forbidden_however_it_is_written(number: str) -> None:
    rules = [Rule.model_validate({"do": "deny", "where": {"to": ["555-0134"]}}), Rule.model_validate({"do": "allow"})]
    (outcome,) = run(f'1. text_to(["{number}"], "Hi")\n2. join()', tools=PEOPLE, approve=never, rules=rules)
    assert outcome.status is Status.DECLINED


@pytest.mark.parametrize("address", ["boss@corp.com", "BOSS@corp.com ", "Boss <boss@corp.com>", "boss@CORP.com"])
@pytest.mark.parametrize("pattern", ["boss@corp.com", "*@corp.com", "The Boss <boss@corp.com>"])
def test_an_address_is_forbidden_however_it_is_written(address: str, pattern: str) -> None:
    mail = ToolSpec.model_validate(
        TEXT.model_dump(mode="json", exclude={"parameters", "coerces"})
        | {"parameters": [{"name": "to", "type": "list[email]"}, {"name": "text", "type": "string"}]}
    )
    rules = [Rule.model_validate({"do": "deny", "where": {"to": [pattern]}}), Rule.model_validate({"do": "allow"})]
    plan = f'1. text_to(["{address}"], "Hi")\n2. join()'
    (outcome,) = run(plan, tools=Catalogue([mail]), approve=never, rules=rules)
    assert outcome.status is Status.DECLINED


def test_the_first_rule_that_fits_counts() -> None:
    rules = [Rule.model_validate({"do": "deny", "effect": "send"}), Rule.model_validate({"do": "allow"})]
    (outcome,) = run('1. text_to(["555"], "Hi")\n2. join()', tools=PEOPLE, approve=never, rules=rules)
    assert outcome.status is Status.DECLINED
    assert str(outcome.error) == "a rule of yours forbids this call of text_to"


# --- what others wrote is data -------------------------------------------------------------------------------


def test_a_note_may_fill_a_text() -> None:
    plan = '1. phone_of("Ana")\n2. read_note("plan")\n3. text_to(["$1"], "It says: $2")\n4. join()'
    asked: list[Proposal] = []

    async def approve(proposal: Proposal) -> Approval | None:
        asked.append(proposal)
        return proposal.approve()

    assert statuses(run(plan, tools=PEOPLE, approve=approve)) == [Status.DONE] * 3
    [proposal] = asked
    assert proposal.chosen_by_data == ()
    assert proposal.said == {"+1 Ana": "Ana"}


@pytest.mark.parametrize(
    "plan",
    [
        '1. read_note("plan")\n2. phone_of("$1")\n3. text_to(["$2"], "Hi")\n4. join()',
        '1. phone_in("plan")\n2. phone_of("Ana")\n3. text_to(["$1", "$2"], "Hi")\n4. join()',
    ],
)
def test_a_recipient_out_of_a_note_is_named_and_no_rule_lets_it_pass(plan: str) -> None:
    asked: list[Proposal] = []

    async def approve(proposal: Proposal) -> Approval | None:
        asked.append(proposal)
        return None

    outcomes = run(plan, tools=PEOPLE, approve=approve, rules=[Rule.model_validate({"do": "allow"})])
    assert outcomes[2].status is Status.DECLINED
    [proposal] = asked
    assert proposal.chosen_by_data == ("to",)
    assert "to comes from your tests, not from your request" in proposal.warnings
    unattended = run(plan, tools=PEOPLE, approve=approve_all)[2]  # --yes is no yes to that
    assert unattended.status is Status.DECLINED
    assert "nobody was there to approve it; to comes from your tests" in str(unattended.error)


def test_an_address_or_an_option_chooses() -> None:
    def made(implementation: dict[str, Any]) -> ToolSpec:
        return tool("made", "text", implementation=implementation)

    text = made({"python": "a:b"}).parameters[0]
    assert not chooses(text, made({"command": ["say", "--", "{text}"]}))
    assert not chooses(text, made({"command": ["say", "--text={text}"]}))
    assert chooses(text, made({"command": ["say", "{text}"]}))
    assert chooses(text, made({"url": "https://a.example/{text}"}))
    assert not chooses(text, made({"url": "https://a.example/", "method": "POST", "body": {"text": "{text}"}}))


# --- while the plan is being written -------------------------------------------------------------------------


def test_reads_start_early_and_are_not_made_again() -> None:
    world = World()

    async def main() -> tuple[Outcome, ...]:
        async with Executor(TOOLS, world.context(), approve_all) as executor:
            executor.foresee(parse_plan('1. look_up("Ana")\n2. send(["$1"], "Hi")\n3. look_up("$2")\n4. join()'))
            executor.foresee(parse_plan('1. look_up("Ana")\n2. look_up("Bo")\n3. look_up("$2")\n4. join()'))
            while len(world.calls) < 3:  # noqa: ASYNC110 — the tools run in threads
                await asyncio.sleep(0.001)
            assert sorted(world.calls) == [("look_up", "+1 Bo"), ("look_up", "Ana"), ("look_up", "Bo")]
            outcomes = await executor.run(
                parse_plan('1. look_up("Bo")\n2. look_up("Ana")\n3. send(["$2"], "Hi")\n4. join()')
            )
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcomes

    outcomes = asyncio.run(main())
    assert [outcome.output for outcome in outcomes[:2]] == ["+1 Bo", "+1 Ana"]
    assert [outcome.step.number for outcome in outcomes] == [1, 2, 3]
    assert world.calls[3:] == [("send", (["+1 Ana"], "Hi"))]


def test_the_start_of_an_early_read_is_told_while_it_runs() -> None:
    world, told = World(), []

    def on_start(step: Step) -> None:
        told.append(step.number)
        world.gate.set()  # the tool ends when it is told that it has begun

    async def main() -> None:
        plan = parse_plan("1. wait()\n2. join()")
        async with Executor(TOOLS, world.context(), approve_all, on_start=on_start) as executor:
            executor.foresee(plan)
            while not executor._reading:  # noqa: ASYNC110 — its tool runs in a thread
                await asyncio.sleep(0)
            await executor.run(plan)

    asyncio.run(main())
    assert told == [1]


def test_an_early_read_that_no_plan_takes_up_is_cancelled() -> None:
    world = World()

    async def main() -> None:
        async with Executor(TOOLS, world.context(), approve_all) as executor:
            executor.foresee(parse_plan("1. wait()\n2. join()"))
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    world.gate.set()


def test_an_early_read_that_fails_fails_its_step() -> None:
    async def main() -> tuple[Outcome, ...]:
        async with Executor(TOOLS, World().context(), approve_all) as executor:
            plan = parse_plan('1. look_up("Nobody")\n2. look_up("$1")\n3. send(["$2"], "Hi")\n4. join()')
            executor.foresee(plan)
            return await executor.run(plan)

    outcomes = asyncio.run(main())
    assert statuses(outcomes) == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]


@pytest.mark.parametrize("do", ["deny", "ask"])
def test_a_read_that_a_rule_is_about_does_not_start_early(do: str) -> None:
    world = World()

    async def main() -> Outcome:
        plan = parse_plan('1. look_up("Ana")\n2. join()')
        rules = [Rule.model_validate({"do": do, "tool": "look_up"})]
        async with Executor(TOOLS, world.context(), decline_all, rules=rules) as executor:
            executor.foresee(plan)
            await asyncio.sleep(0.02)
            [outcome] = await executor.run(plan)
            return outcome

    assert asyncio.run(main()).status is Status.DECLINED
    assert world.calls == []


def test_what_an_earlier_step_changes_is_read_afterwards() -> None:
    """Of one app, in the order of the plan, and never early."""
    world = World()
    plan = parse_plan('1. send(["5"], "Hi")\n2. look_up("Ana")\n3. send(["6"], "Ho")\n4. join()')

    async def main() -> None:
        async with Executor(TOOLS, world.context(), approve_all) as executor:
            executor.foresee(plan)
            await asyncio.sleep(0.02)
            assert world.calls == []
            await executor.run(plan)

    asyncio.run(main())
    assert [call[0] for call in world.calls] == ["send", "look_up", "send"]


# --- limits, retries, another plan ---------------------------------------------------------------------------


def flaky(context: ToolContext, /) -> str:
    calls = world_of(context).calls
    calls.append(("flaky", len(calls)))
    if len(calls) < 3:
        raise Unreachable("the service is away")
    return "there"


@pytest.mark.parametrize(("effect", "tries"), [("read", 3), ("open", 1), ("write", 1), ("send", 1)])
def test_only_reads_are_tried_again(effect: str, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.executor.BACKOFF_S", 0.0)
    world = World()
    (outcome,) = run("1. flaky()\n2. join()", world, tools=Catalogue([tool("flaky", effect=effect)]))
    assert len(world.calls) == tries
    assert outcome.status is (Status.DONE if effect == "read" else Status.FAILED)


def test_a_run_ends_in_time_though_a_question_stands_longer() -> None:
    async def approve(proposal: Proposal) -> Approval | None:
        await asyncio.sleep(0.4)
        return proposal.approve()

    limits = Limits(run_s=0.3)
    assert statuses(run('1. send(["5"], "Hi")\n2. join()', approve=approve, limits=limits)) == [Status.DONE]
    world = World()
    with pytest.raises(RunTimeout, match=r"not done within 0\.3 s"):
        run("1. wait()\n2. join()", world, limits=limits)
    world.gate.set()


def test_an_app_does_only_so_much_at_a_time() -> None:
    """`meet` waits for a second call of it, which one place alone never gives."""
    with pytest.raises(RunTimeout):
        run("1. meet()\n2. meet()\n3. join()", limits=Limits(per_app=1, run_s=0.2))


def test_another_plan_does_not_repeat_what_the_first_did() -> None:
    world = World()

    async def main() -> tuple[Outcome, ...]:
        executor = Executor(TOOLS, world.context(), approve_all)
        first = await executor.run(parse_plan('1. send(["5"], "Hi")\n2. look_up("Nobody")\n3. join()'))
        plan = parse_plan('1. look_up("Bo")\n2. send(["5"], "Hi")\n3. send(["$1"], "Ho")\n4. join()')
        return await executor.run(plan, earlier=first)

    outcomes = asyncio.run(main())
    # A second message, which the first plan did not have, is not sent unasked.
    assert statuses(outcomes) == [Status.DONE, Status.DONE, Status.DECLINED]
    assert [call for call in world.calls if call[0] == "send"] == [("send", (["5"], "Hi"))]


def which(context: ToolContext, /, *, name: str) -> str:
    if name == "Omar":
        raise Ambiguous("'Omar' may be two people", candidates=["Omar Aziz", "Omar Haddad"])
    return f"+1 {name}"


def test_the_person_is_asked_which_one_is_meant() -> None:
    asked: list[tuple[str, list[str]]] = []

    async def choose(question: str, candidates: Any) -> str | None:
        asked.append((question, list(candidates)))
        return "Omar Haddad"

    tools = Catalogue([tool("which", "name", returns={"type": "phone", "trusted": True}, coerces={"from": "person"})])
    (outcome,) = run('1. which("Omar")\n2. join()', tools=tools, choose=choose)
    assert outcome.output == "+1 Omar Haddad"
    assert asked == [("'Omar' may be two people", ["Omar Aziz", "Omar Haddad"])]
    (outcome,) = run('1. which("Omar")\n2. join()', tools=tools)
    assert isinstance(outcome.error, Ambiguous)


def test_what_needs_the_one_that_is_asked_about_waits_for_the_answer() -> None:
    async def choose(question: str, candidates: Any) -> str | None:
        return "Omar Haddad"

    async def main() -> tuple[Outcome, ...]:
        async with Executor(tools, World().context(), approve_all, choose=choose) as executor:
            plan = parse_plan('1. which("Omar")\n2. look_up("$1")\n3. join()')
            executor.foresee(plan)
            return await executor.run(plan)

    asked = tool("which", "name", returns={"type": "phone", "trusted": True}, coerces={"from": "person"})
    tools = Catalogue([asked, TOOLS["look_up"]])
    assert [outcome.output for outcome in asyncio.run(main())] == ["+1 Omar Haddad", "+1 +1 Omar Haddad"]


# --- any plan -----------------------------------------------------------------------------------------------


def record(context: ToolContext, /, *, number: str, inputs: list[str]) -> str:
    world = world_of(context)
    world.calls.append(("start", number))
    failing, blocking = context.settings["test"]["failing"], context.settings["test"]["blocking"]
    if int(number) in blocking:
        world.gate.wait(10)
    if int(number) in failing:
        raise ToolError("as it was told to")
    world.calls.append(("end", number))
    return f"output of {number}"


RECORD = Catalogue([tool("record", "number *inputs")])


@st.composite
def dags(draw: st.DrawFn) -> tuple[Plan, frozenset[int]]:
    """A plan of up to eight steps with any references, and which of them go wrong."""
    steps = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        earlier = st.lists(st.integers(1, number - 1), max_size=3) if number > 1 else st.just([])
        refs = [Ref(k) for k in draw(earlier)]
        inputs = tuple(Template(("see ", ref)) if draw(st.booleans()) else ref for ref in refs)
        steps.append(Step(number, "record", (str(number), inputs)))
    return Plan(tuple(steps)), draw(st.frozensets(st.integers(1, len(steps)), max_size=2))


def descendants(plan: Plan, of: frozenset[int]) -> set[int]:
    found: set[int] = set()
    for number, needs in plan.dependencies.items():  # in order, so that what a step needs comes first
        if needs & (of | found):
            found.add(number)
    return found


def executor_for(world: World, failing: frozenset[int], blocking: frozenset[int], **more: Any) -> Executor:
    context = world.context()
    parts = {"world": world, "failing": failing, "blocking": blocking}
    context = ToolContext(context.data_dir, context.now, "", context.writer, {"test": parts})
    return Executor(RECORD, context, decline_all, **more)


@given(dags())
@settings(max_examples=60, deadline=None)
def test_every_step_runs_once_after_its_inputs_and_failures_skip_just_their_descendants(
    dag: tuple[Plan, frozenset[int]],
) -> None:
    plan, failing = dag
    world = World()

    async def main() -> tuple[Outcome, ...]:
        outcomes = await executor_for(world, failing, frozenset()).run(plan)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcomes

    outcomes = asyncio.run(main())
    skipped = descendants(plan, failing)
    ran = plan.dependencies.keys() - skipped
    for outcome in outcomes:
        number = outcome.step.number
        expected = Status.SKIPPED if number in skipped else Status.FAILED if number in failing else Status.DONE
        assert outcome.status is expected
        assert (outcome.output is not None) == (expected is Status.DONE)
    assert [outcome.step for outcome in outcomes] == list(plan.steps)
    assert sorted(int(str(n)) for what, n in world.calls if what == "start") == sorted(ran)
    for number in ran:
        for needed in plan.dependencies[number]:
            assert world.calls.index(("end", str(needed))) < world.calls.index(("start", str(number)))


@given(dags(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_cancelled_run_starts_nothing_more_and_leaves_no_task(
    dag: tuple[Plan, frozenset[int]], data: st.DataObject
) -> None:
    plan, failing = dag
    hanging = data.draw(st.integers(1, len(plan.steps)), label="the step that hangs")
    world = World()
    reached = asyncio.Event()

    async def main() -> None:
        executor = executor_for(
            world,
            failing,
            frozenset({hanging}),
            on_start=lambda step: reached.set() if step.number == hanging else None,
            on_outcome=lambda outcome: reached.set() if outcome.step.number == hanging else None,  # skipped
        )
        task = asyncio.create_task(executor.run(plan))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    world.gate.set()
    started = [n for what, n in world.calls if what == "start"]
    assert len(started) == len(set(started))


def test_a_cancelled_run_leaves_no_child_process(tmp_path: Path) -> None:
    """A FIFO that every child holds open ends when, and only when, all of them are gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    script = 'exec 3>"$1"; echo started >&3; sleep 60 & wait'
    sleeper = ToolSpec.model_validate(
        {
            "name": "sleeper",
            "app": "tests",
            "description": "A program that does not end by itself.",
            "effect": "read",
            "implementation": {"command": ["sh", "-c", script, "sh", str(fifo)]},
        }
    )

    async def main() -> None:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        executor = Executor(Catalogue([sleeper]), World().context(), approve_all)
        task = asyncio.create_task(executor.run(parse_plan("1. sleeper()\n2. sleeper()\n3. sleeper()\n4. join()")))
        for _ in range(3):
            assert await asyncio.wait_for(reader.readline(), 10) == b"started\n"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
