"""Selection → the planner's prompt.

Three layouts: `compact` for our adapter (a line a tool), `chat_system` and `chat_user` for models that follow
instructions, and `tinyagent` for the published TinyAgent models. In the first two, what is the same for every
request comes first, then the tools in the catalogue's order, then the request, so that a planner can keep the
prefix in its cache; the third keeps the order that its models learnt. Nothing here calls a model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pipeline.plan import END_OF_PLAN, JOIN, escape_dollars, parse_plan
from pipeline.spec import Catalogue, Parameter, ToolSpec, Type


def compact(request: str, tools: Catalogue, *, known: Collection[str] = (), instructions: Sequence[str] = ()) -> str:
    """Return the prompt of the fine-tuned planner.

    Args:
        request: The person's words.
        tools: The tools to offer.
        known: Tools that the adapter was trained on: their signature is enough, others get their summary too.
        instructions: The user's standing instructions, such as "always cc Nick".
    """
    lines = ["Tools:"]
    for tool in tools.values():
        lines.append(signature(tool) if tool.name in known else f"{signature(tool)}  {summary(tool)}")
    lines += [f"Note: {escape_dollars(_one_line(instruction))}" for instruction in instructions]
    lines += [f"Request: {escape_dollars(_one_line(request))}", "Plan:", ""]
    return "\n".join(lines)


def chat_system(tools: Catalogue) -> str:
    """Return what a model that follows instructions is told first: the plan language, tools and rules."""
    lines = [_CHAT_HEAD, "Tools:"]
    lines += [f"- {signature(tool)}{_gives(tool)}: {tool.description}" for tool in tools.values()]
    if rules := _rules(tools):
        lines += ["", "Rules:", *(f"- {rule}" for rule in rules)]
    return "\n".join(lines)


def chat_user(request: str, *, instructions: Sequence[str] = (), feedback: str = "") -> str:
    """Return what such a model is asked; `feedback` says why an earlier plan for the request failed."""
    lines = [f"Note: {_quoted(instruction)}" for instruction in instructions]
    lines.append(f"Request: {_quoted(request)}")
    if feedback:
        lines.append(f"An earlier plan for this failed: {_quoted(feedback)}. Write one that does not.")
    return "\n".join(lines)


def tinyagent(
    request: str, tools: Catalogue, now: datetime, *, instructions: Sequence[str] = (), feedback: str = ""
) -> str:
    """Return the prompt of the published TinyAgent models, which write full plans: lookups, dates and all.

    Its parts and their order are those that the models were trained on (SqueezeAILab/TinyAgent,
    `llm_compiler/planner.py` and `tiny_agent/prompts.py`). Their chat template sets the system's and the
    user's message one after the other with nothing between, so the prompt is one text.

    Args:
        request: The person's words.
        tools: The tools to offer, lookups included.
        now: When the request was made, local time.
        instructions: The user's standing instructions.
        feedback: Why an earlier plan for the request failed.
    """
    actions = [_action(tool) for tool in tools.values()] + [_JOIN_ACTION]
    custom = [
        "Start the plan with the call numbered 1.",
        f"Today's date is {now:%A %Y-%m-%d %H:%M}",
        "Do not name the arguments, and write out every one of them, the optional ones too.",
        "Write a date as 'YYYY-MM-DD HH:MM:SS' unless the action says otherwise.",
        "Write '$' and the number of an earlier call to use its result.",
        f"{JOIN}() stands at the very end of the plan and nowhere else.",
        *_rules(tools),
        *(_quoted(instruction) for instruction in instructions),
    ]
    examples = [
        f"Question: {question}\n{plan}{END_OF_PLAN}\n###\n"
        for question, plan in _FULL_EXAMPLES
        if all(step.tool in tools for step in parse_plan(plan).steps)
    ]
    replan = f"Previous Plan:\n\nObservation: {_quoted(feedback)}\n\nCurrent Plan:\n\n" if feedback else ""
    return "".join(
        [
            "Given a user query, make a plan that solves it with as much parallelism as possible. "
            f"Each step of the plan is one of these {len(actions)} types of action:\n",
            *(f"{number}. {action}\n" for number, action in enumerate(actions, 1)),
            f"\nGuidelines:\n{_bullets(_GUIDELINES)}\n{_bullets(custom)}\n",
            f"Here are some examples:\n\n{''.join(examples)}",
            # In the examples a line break stands between question and plan, so it does here.
            f"Question: {_quoted(request)}\n{replan}",
        ]
    )


def signature(tool: ToolSpec) -> str:
    """Return how a call is written: required arguments by position, then the others by name.

    `create_note(name, content, folder=)`, `get_weather(city, unit=c|f)`.
    """
    words = [p.name + _choices(p, ":") for p in tool.required]
    words += [p.name + "=" + _choices(p, "") for p in writable(tool) if not p.required]
    return f"{tool.name}({', '.join(words)})"


def writable(tool: ToolSpec) -> tuple[Parameter, ...]:
    """Return the parameters that a planner writes: all but those that a date decides (an `all_day` flag)."""
    decided = {p.all_day for p in tool.parameters}
    return tuple(p for p in tool.parameters if p.name not in decided)


def summary(tool: ToolSpec) -> str:
    """Return the few words that say what a tool is for."""
    return tool.summary or tool.description.rstrip(".")


def _rules(tools: Catalogue) -> list[str]:
    return [f"{tool.name}: {rule}" for tool in tools.values() for rule in tool.rules]


def _gives(tool: ToolSpec) -> str:
    """Return what other steps can refer to, if there is anything."""
    return "" if tool.returns.type is Type.STATUS else f" -> {tool.returns.type}"


def _action(tool: ToolSpec) -> str:
    """Return a tool as the published models were shown them: a Python signature and what it means."""
    arguments = ", ".join(f"{p.name}: {_python_type(p)}" for p in tool.parameters)
    returns = tool.returns.description or "The status."
    notes = [tool.description, *(f"{p.name}: {_meaning(p)}" for p in tool.parameters), f"Returns: {returns}"]
    return f"{tool.name}({arguments}) -> str\n{_bullets(notes)}"


def _python_type(parameter: Parameter) -> str:
    name = _PYTHON_TYPES.get(parameter.type, "str")
    return f"list[{name}]" if parameter.list else name


def _meaning(parameter: Parameter) -> str:
    """Return what an argument says, how it is written, and what stands for one that is not said."""
    words = [parameter.description]
    if parameter.type is Type.DATETIME:
        words.append("As 'YYYY-MM-DD HH:MM:SS'.")
        if parameter.all_day:
            words.append(f"As 'YYYY-MM-DD' if {parameter.all_day} is True.")
    elif parameter.type is Type.ENUM:
        words.append(f"One of {', '.join(map(repr, parameter.choices))}.")
    elif parameter.type is Type.DURATION:
        words.append("As in '45 minutes'.")
    elif kind := _KINDS.get(parameter.type):
        words.append(f"Each is {kind}." if parameter.list else f"It is {kind}.")
    if not parameter.required and parameter.type is not Type.DATETIME:
        words.append(f"If unsaid, {parameter.default!r}.")
    return " ".join(filter(None, words))


def _bullets(lines: Sequence[str]) -> str:
    return "".join(f" - {line}\n" for line in lines)


def _choices(parameter: Parameter, before: str) -> str:
    return before + "|".join(parameter.choices) if parameter.type is Type.ENUM else ""


def _quoted(text: str) -> str:
    """Return the user's text on one line, with dollars that no planner takes for references."""
    return escape_dollars(_one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


_CHAT_HEAD = """\
You turn a person's request into a plan: numbered calls of the tools below, one a line, then join().

- Required arguments come first, by position; the others by name, and only those that the request says.
- Write what the person said: names of people where an address or a number is wanted and a file's name where a
  path is wanted (they are looked up for you), times in words, such as "friday at 3". Never make up a value.
- Text stands in double quotes, several values in [brackets].
- $k is the result of step k. Use it only where an earlier step's result, of a tool with ->, goes into a call.
  A dollar sign before a digit is written \\$.
- Make the calls that the request asks for and no others. If no tool fits, the plan is only join().
- Answer with the plan and nothing else.

Examples, with tools that may differ from yours:

Request: text Priya and Sam that I'm ten minutes late
1. send_sms(["Priya", "Sam"], "I'm ten minutes late")
2. join()

Request: mail the summary of budget.pdf to Lena, cc Omar, and remind me friday at 3 to pay the \\$5 fee
1. summarize_pdf("budget.pdf")
2. compose_new_email(["Lena"], "Summary of budget.pdf", cc=["Omar"], context="$1")
3. create_reminder("pay the \\$5 fee", due_date="friday at 3")
4. join()

Request: what is the capital of Peru?
1. join()
"""

_PYTHON_TYPES = {Type.INTEGER: "int", Type.NUMBER: "float", Type.BOOLEAN: "bool"}
_KINDS = {Type.EMAIL: "an email address", Type.PHONE: "a phone number", Type.URL: "a URL"}

_JOIN_ACTION = """\
join():
 - Collects the results of the steps before it.
 - A language model then answers the user, or waits for the plan to be carried out.
 - It is always the last step of the plan:
   (a) where the answer can be made from the results, or
   (b) where it cannot be told before the plan is carried out.
"""

_GUIDELINES = (
    "The actions above state the types of what they take and give, and how to use them; keep to both.",
    "Each step is one of these actions, written by the conventions of Python.",
    "Each step has a number of its own, one higher than that of the step before.",
    "An argument is a constant or an earlier step's result; write that as $id, with the step's number.",
    f"The last step is always join; write '{END_OF_PLAN}' after it.",
    "Make the plan as parallel as possible.",
    "Use only the actions listed. If they cannot serve the query, call join at once.",
    "Write no comments (such as #) into the plan.",
)

_FULL_EXAMPLES = (
    (
        "Text Priya that I am running ten minutes late.",
        '1. get_phone_number("Priya")\n2. send_sms(["$1"], "I am running ten minutes late")\n3. join()',
    ),
    (
        "Email the summary of budget.pdf to Lena.",
        '1. get_email_address("Lena")\n2. open_and_get_file_path("budget.pdf")\n3. summarize_pdf("$2")\n'
        '4. compose_new_email(["$1"], [], "Summary of budget.pdf", "$3", [])\n5. join()',
    ),
    ("Show me the way to the airport.", '1. maps_show_directions("", "the airport", "d")\n2. join()'),
    ("What is the capital of Peru?", "1. join()"),
)
