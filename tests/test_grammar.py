"""The grammar admits surface plans of the offered tools, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.grammar import step_grammar
from pipeline.spec import Catalogue, Type

llguidance = pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def vocabulary() -> Any:
    from llama_cpp import Llama, llama_model_get_vocab
    from llguidance.llamacpp import lltokenizer_from_vocab

    from pipeline.models import base_model_path

    llama = Llama(str(base_model_path()), vocab_only=True, verbose=False)
    yield lltokenizer_from_vocab(llama_model_get_vocab(llama.model))
    llama.close()


def admits(vocabulary: Any, tools: Catalogue, line: str, earlier: tuple[Type, ...] = (), **told: Any) -> bool:
    grammar = step_grammar(tools, earlier, **told)
    matcher = llguidance.LLMatcher(vocabulary, llguidance.LLMatcher.grammar_from_lark(grammar))
    assert not matcher.is_error(), matcher.get_error()
    tokens = vocabulary.tokenize_str(line)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize(
    "line",
    [
        "1. join()",
        '1. send_sms(["Priya"], "Running late")\n',
        '1. send_sms(["Priya", "+44 7700 900482"], "Bring \\"it\\", ok?\\nThanks")\n',
        '1. create_reminder("call mum", due_date="next friday at 3")\n',
        '1. create_reminder("call mum", due_date="friday", list_name="Errands", priority=1)\n',
        "1. reply_to_email()\n",
        '1. reply_to_email(cc=["Lena"], attachments=["~/a.pdf"])\n',
        '1. reply_to_email(attachments=["~/a.pdf"])\n',
        '1. maps_show_directions("Zürich HB", start_location="Bahnhofstraße 1", transport="r")\n',
        '1. get_zoom_meeting_link("Quiz", "tonight at 8", duration=45, meeting_invitees=["Omar"])\n',
        '1. create_note("Fees", "split the \\$1 fee, $ or € 2")\n',
        '1. create_note("日本", "今日は 🎉")\n',
    ],
)
def test_admitted(vocabulary: Any, tools: Catalogue, line: str) -> None:
    assert admits(vocabulary, tools, line)


@pytest.mark.parametrize(
    "line",
    [
        '1. delete_everything("now")\n',  # no such tool
        '2. send_sms(["Priya"], "Hi")\n',  # not the next number
        '1. send_sms("Priya", "Hi")\n',  # a list is wanted
        '1. send_sms([], "Hi")\n',  # of somebody
        '1. send_sms(["Priya"])\n',  # an argument is missing
        '1. send_sms(["Priya"], "Hi", "more")\n',  # one too many
        '1. send_sms(["$1"], "Hi")\n',  # nothing to refer to yet
        '1. create_note("Fees", "split the $1 fee")\n',  # a dollar before a digit is escaped
        '1. create_reminder("x", priority="high")\n',  # a number is wanted
        '1. maps_show_directions("x", transport="boat")\n',  # none of the choices
        '1. create_reminder("x", all_day=True)\n',  # for the date to say
        '1. create_note("a\nb", "c")\n',  # a newline is escaped
    ],
)
def test_refused(vocabulary: Any, tools: Catalogue, line: str) -> None:
    assert not admits(vocabulary, tools, line)


def test_a_tool_that_was_not_selected_cannot_be_called(vocabulary: Any, tools: Catalogue) -> None:
    line = '1. send_sms(["Priya"], "Hi")\n'
    assert not admits(vocabulary, tools.only(["create_note", "open_note"]), line)


def test_references_are_of_a_fitting_type(vocabulary: Any, tools: Catalogue) -> None:
    earlier = (Type.PHONE, Type.STATUS, Type.STRING)
    assert admits(vocabulary, tools, '4. send_sms(["$1"], "It says: $3, call $1")\n', earlier)
    assert not admits(vocabulary, tools, '4. send_sms(["$3"], "Hi")\n', earlier)
    assert not admits(vocabulary, tools, '4. create_note("x", "$2")\n', earlier)
    assert not admits(vocabulary, tools, '4. create_note("x", "$4")\n', earlier)
    assert not admits(vocabulary, tools, '4. summarize_pdf("$1")\n', earlier)


def test_every_tool_has_a_grammar(vocabulary: Any, tools: Catalogue) -> None:
    for name in tools:
        assert admits(vocabulary, tools.only([name]), "1. join()")


SAID = 'text obinnas brother at "the $5 stall", dont forget cake_order.pdf & remind me tmrw 6am, jo@stall.example or 07700 900 482'


@pytest.mark.parametrize(
    ("line", "admitted"),
    [
        (
            '1. send_sms(["obinnas brother"], "Dont forget the cake, you\'re reminded at 6am. Can you?\\n:) \\$5")\n',
            True,
        ),
        ('1. send_sms(["obinnas brother"], "")\n', True),
        (
            '1. send_sms(["obinnas brother"], "stalls, reminded and texting")\n',
            True,
        ),  # other forms of words that were said
        ('1. send_sms(["obinnas brother"], "anything at all")\n', False),  # words that nobody said
        ('1. send_sms(["obinnas brother"], "forge the cake")\n', False),  # half a word
        ('1. send_sms(["obinnas brother"], "thecake")\n', False),  # two at once
        ('1. send_sms(["obinnas brother"], "$[cake]")\n', False),  # no reference
        ('1. send_sms(["obinna"], "hi")\n', True),  # the possessive's s may go
        ('1. send_sms(["inna"], "hi")\n', False),  # part of a word
        ('1. send_sms(["Priya"], "hi")\n', False),
        ('1. send_sms([" obinnas"], "hi")\n', False),
        ('1. open_and_get_file_path("cake_order.pdf")\n', True),
        ('1. open_and_get_file_path("cake_order")\n', False),  # a file's name is copied whole
        ('1. open_and_get_file_path("order.pdf")\n', False),
        ('1. compose_new_email(["cake_order.pdf"], "hi")\n', False),  # a file is nobody's address
        ('1. compose_new_email(["jo@stall.example"], "hi")\n', True),
        ('1. compose_new_email(["jo"], "hi")\n', False),
        ('1. compose_new_email(["07700 900 482"], "hi")\n', False),
        ('1. send_sms(["07700 900 482"], "hi")\n', True),
        ('1. send_sms(["07700"], "hi")\n', False),
        ('1. send_sms(["jo@stall.example"], "hi")\n', False),
        ('1. open_and_get_file_path("cake-order.pdf")\n', False),
        ('1. maps_open_location("\\"the \\$5 stall\\"")\n', True),
        ('1. create_reminder("cake", due_date="tmrw 6am")\n', True),
        ('1. create_reminder("cake", due_date="tmrw at 6am")\n', False),
        ('1. create_reminder("cake", list_name="Chores")\n', True),  # of the standing instruction
        ('1. create_reminder("cake", list_name="remind me my")\n', False),  # a part of each
    ],
)
def test_names_places_and_times_are_words_of_the_request(
    vocabulary: Any, tools: Catalogue, line: str, admitted: bool
) -> None:
    assert admits(vocabulary, tools, line, said=(SAID, "my list is Chores")) == admitted


def test_a_long_request_in_any_script_gives_a_grammar(vocabulary: Any, tools: Catalogue) -> None:
    said = ('今日は🎉 \\ "x" ' * 250,)
    assert admits(vocabulary, tools, '1. open_note("今日は🎉")\n', said=said)
    assert admits(vocabulary, tools, '1. create_reminder("は今日")\n', said=said)
    assert admits(vocabulary, tools, "1. join()", said=("?",))


@pytest.mark.parametrize(
    ("line", "named", "admitted"),
    [
        ('1. compose_new_email(["obinnas brother"], "dont forget")\n', (Type.EMAIL,), True),
        ('1. compose_new_email(["obinnas brother"], "dont forget")\n', (), False),
        ('1. compose_new_email(["jo@stall.example"], "dont forget")\n', (), True),
        ('1. send_sms(["obinnas brother"], "dont forget")\n', (Type.EMAIL,), False),
        ('1. send_sms(["07700 900 482"], "dont forget")\n', (), True),
        ('1. create_calendar_event("stall", "tmrw 6am", invitees=["obinnas"])\n', (), False),
        ('1. create_calendar_event("stall", "tmrw 6am")\n', (), True),
        ('1. reply_to_email(attachments=["cake_order.pdf"])\n', (Type.EMAIL,), False),
        ('1. reply_to_email(attachments=["cake_order.pdf"])\n', (Type.PATH,), True),
        # Where there is no value at all, elaboration says what is wrong.
        ('1. summarize_pdf("cake_order.pdf")\n', (), True),
    ],
)
def test_names_stand_only_for_what_will_be_looked_up(
    vocabulary: Any, tools: Catalogue, line: str, named: tuple[Type, ...], admitted: bool
) -> None:
    assert admits(vocabulary, tools, line, said=(SAID,), named=named) == admitted


def test_an_earlier_step_may_give_what_is_not_looked_up(vocabulary: Any, tools: Catalogue) -> None:
    line = '2. send_sms(["$1"], "text it")\n'
    assert admits(vocabulary, tools, line, (Type.PHONE,), said=("text it",), named=())
    assert not admits(vocabulary, tools, line.replace("$1", "it"), (Type.PHONE,), said=("text it",), named=())
