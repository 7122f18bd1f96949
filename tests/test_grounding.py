"""Grounding: what the words of the request show to be cut off or made up in a plan."""

from __future__ import annotations

from datetime import datetime

import pytest

from pipeline.grounding import ground
from pipeline.plan import parse_plan
from pipeline.spec import Catalogue

NOW = datetime(2026, 2, 16, 10)  # a Monday


@pytest.mark.parametrize(
    ("request_", "written", "grounded"),
    [
        (
            "physio thurs 4 to 445 put on cal",
            'create_calendar_event("physio", "thurs 4")',
            'create_calendar_event("physio", "thurs 4 to 445")',
        ),
        (
            "call it Sync, Friday  from 2 until 3:30",
            'create_calendar_event("Sync", start_date="friday from 2")',
            'create_calendar_event("Sync", start_date="Friday from 2 until 3:30")',
        ),
        (
            "vet on Friday 2 to 3, but only block an hour and a half",
            'create_calendar_event("vet", "Friday 2", end_date="an hour and a half")',
            'create_calendar_event("vet", "Friday 2", end_date="an hour and a half")',
        ),
        (
            "remind me on Friday at 2 and block Sunday 2 to 3",
            'create_reminder("x", due_date="Friday at 2")',
            'create_reminder("x", due_date="Friday at 2")',
        ),
        (
            "zoom tues 2pm kitchen remodel with Bo",
            'get_zoom_meeting_link("kitchen remodel", "tues 2pm", meeting_invitees=["Kitchen remodel", "Bo"])',
            'get_zoom_meeting_link("kitchen remodel", "tues 2pm", meeting_invitees=["Bo"])',
        ),
        (
            "email Bo lease.pdf",
            'compose_new_email(["Bo"], "lease.pdf", attachments=["lease.pdf"])',
            'compose_new_email(["Bo"], "lease.pdf", attachments=["lease.pdf"])',
        ),
        (
            "email Bo about the lease",
            'compose_new_email(["Bo"], "the lease", attachments=["the lease"])',
            'compose_new_email(["Bo"], "the lease", attachments=[])',
        ),
        (
            "zoom for Thursday, October 15 at 5 pm under the title Rights",
            'get_zoom_meeting_link("Rights", "Thursday")',
            'get_zoom_meeting_link("Rights", "for Thursday, October 15 at 5 pm")',
        ),
        (
            "remind me amanhã ao fim do dia",
            'create_reminder("x", due_date="amanhã")',
            'create_reminder("x", due_date="amanhã ao fim do dia")',
        ),
        ("friday 2 kids come", 'create_reminder("x", due_date="friday")', 'create_reminder("x", due_date="friday")'),
        (
            "text Bo that Friday at 3 works, and remind me Friday",
            'create_reminder("x", due_date="Friday")',
            'create_reminder("x", due_date="Friday")',
        ),
        ("email Bo about Bo", 'compose_new_email(["Bo"], "Bo")', 'compose_new_email(["Bo"], "Bo")'),
    ],
)
def test_ends_come_back_and_titles_are_nobody(tools: Catalogue, request_: str, written: str, grounded: str) -> None:
    plan = ground(parse_plan(f"1. {written}\n2. join()"), tools, request_, NOW)
    assert plan == parse_plan(f"1. {grounded}\n2. join()")


@pytest.mark.parametrize("written", ["no_such_tool(1)", 'send_sms(["Bo"], "x", colour="red")'])
def test_what_is_wrong_is_left_for_elaboration_to_say(tools: Catalogue, written: str) -> None:
    plan = parse_plan(f"1. {written}\n2. join()")
    assert ground(plan, tools, "text Bo", NOW) == plan


@pytest.mark.parametrize(
    ("written", "joined"),
    [
        ('1. send_sms(["Bo"], "Late")\n2. send_sms(["Al"], "late")', '1. send_sms(["Bo", "Al"], "Late")'),
        ('1. send_sms(["Bo"], "Late")\n2. send_sms(["Bo"], "Late")', '1. send_sms(["Bo"], "Late")'),
        (
            '1. send_sms(["Bo"], "Late")\n2. send_sms(["Al"], "Go")',
            '1. send_sms(["Bo"], "Late")\n2. send_sms(["Al"], "Go")',
        ),
        (
            '1. open_note("x")\n2. open_note("x")\n3. send_sms(["Bo"], "$2")',
            '1. open_note("x")\n2. send_sms(["Bo"], "$1")',
        ),
        (
            '1. compose_new_email(["Bo"], "x", cc=["Al"])\n2. compose_new_email(["Cy"], "x")',
            '1. compose_new_email(["Bo"], "x", cc=["Al"])\n2. compose_new_email(["Cy"], "x")',
        ),
        (
            '1. send_sms(["Bo"], "Late")\n2. get_phone_number("Al")\n3. send_sms(["$2"], "Late")',
            '1. send_sms(["Bo"], "Late")\n2. get_phone_number("Al")\n3. send_sms(["$2"], "Late")',
        ),
    ],
)
def test_one_message_to_several_people_is_sent_once(tools: Catalogue, written: str, joined: str) -> None:
    assert ground(parse_plan(written + "\n9. join()"), tools, "text them", NOW) == parse_plan(joined + "\n9. join()")


def grounded(request: str, plan: str, tools: Catalogue) -> str:
    return ground(parse_plan(plan), tools, request, NOW).text()


def test_a_text_does_not_run_on_into_what_another_call_does(tools: Catalogue) -> None:
    request = "Text Priya that I'm late and put lunch with Omar on Friday at noon into my calendar"
    plan = (
        '1. send_sms(["Priya"], "I\'m late and put lunch with Omar on Friday at noon")\n'
        '2. create_calendar_event("Lunch with Omar", "on Friday at noon")\n3. join()'
    )
    assert grounded(request, plan, tools).startswith('1. send_sms(["Priya"], "I\'m late")\n')


@pytest.mark.parametrize(
    ("request_", "message", "title"),
    [
        # Said twice: the message tells of what is put into the calendar.
        (
            "text Bo I'm in and lunch Friday at noon is fine, and add lunch Friday at noon",
            "I'm in and lunch Friday at noon is fine",
            "lunch",
        ),
        # No border before it, or not in one breath.
        ("text Bo lunch Friday at noon, and put it in my calendar", "lunch Friday at noon", "lunch"),
        (
            "text Bo I'm in and lunch is Friday at noon, put it in my calendar",
            "I'm in and lunch is Friday at noon",
            "lunch",
        ),
    ],
)
def test_a_text_that_tells_of_another_call_stays_whole(
    request_: str, message: str, title: str, tools: Catalogue
) -> None:
    plan = f'1. send_sms(["Bo"], "{message}")\n2. create_calendar_event("{title}", "Friday at noon")\n3. join()'
    assert grounded(request_, plan, tools).startswith(f'1. send_sms(["Bo"], "{message}")\n')


@pytest.mark.parametrize(
    ("request_", "call", "start"),
    [
        # NOW is a Monday.
        (
            "Invite Omar to lunch with me on Friday at 1",
            'create_calendar_event("lunch", "on Friday at 1")',
            "on Friday at 1",
        ),
        (
            "Put the dentist on Friday at 10 in my calendar and text Ana that I'm in meetings until 3",
            'create_calendar_event("dentist", "on Friday at 10")',
            "on Friday at 10",
        ),
        (
            "Put dinner for four on Saturday in my calendar",
            'create_calendar_event("dinner", "on Saturday")',
            "on Saturday",
        ),
        ("Reserva mesa para dos el viernes", 'create_calendar_event("mesa", "el viernes")', "el viernes"),
        ("remind me tomorrow about the evening class", 'create_reminder("class", due_date="tomorrow")', "tomorrow"),
        ("Friday two kids come over, remind me", 'create_reminder("kids", due_date="Friday")', "Friday"),
        ("Thursday at five, remind me to pack", 'create_reminder("pack", due_date="Thursday")', "Thursday at five"),
        (
            "Thursday at half past five, remind me to pack",
            'create_reminder("pack", due_date="Thursday")',
            "Thursday at half past five",
        ),
        (
            "zoom with Bo about Rights, Friday from 2 to 3:30",
            'get_zoom_meeting_link("Rights", "Friday from 2")',
            "Friday from 2 to 3:30",
        ),
    ],
)
def test_a_time_takes_in_what_belongs_to_it_and_nothing_else(
    tools: Catalogue, request_: str, call: str, start: str
) -> None:
    (step,) = ground(parse_plan(f"1. {call}\n2. join()"), tools, request_, NOW).steps
    assert start in (*step.args, *step.named.values())


def test_a_file_may_be_called_as_the_mail_with_it(tools: Catalogue) -> None:
    call = 'compose_new_email(["Ana"], "Lease agreement", attachments=["lease agreement"])'
    plan = parse_plan(f"1. {call}\n2. join()")
    assert ground(plan, tools, "email the lease agreement to Ana", NOW) == plan
    (step,) = ground(plan, tools, "email Ana about the lease agreement", NOW).steps
    assert step.named["attachments"] == ()
    (step,) = ground(plan, tools, "manda um e-mail à Ana com o assunto Lease agreement", NOW).steps
    assert step.named["attachments"] == ()
