"""What people say between two requests and before one, and what other authors call tools and their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# What stands between two requests in one breath: without an end of the sentence before it, and with one.
LINKS: Mapping[str, Sequence[str]] = {
    "en": (
        [" and "] * 4
        + [", and ", ", and also ", " and also ", " and then ", ", then ", " then ", "; ", ". ", ". ", ", ", ", "]
        + [
            " plus ",
            " & ",
            "\n",
            " ",
            " oh and ",
            ", oh and ",
            ". Also ",
            " also ",
            ", after that ",
            " - ",
            " + ",
            "... ",
        ]
        + [", and while you're at it ", ", and please ", ". Then ", ". And "]
    ),
    "pt": [
        " e ",
        " e ",
        " e ",
        ", ",
        "; ",
        ". ",
        "\n",
        " e também ",
        ", depois ",
        ". Também ",
        " e depois ",
        ", e ",
        " mais ",
    ],
    "es": [
        " y ",
        " y ",
        " y ",
        ", ",
        "; ",
        ". ",
        "\n",
        " y también ",
        ", luego ",
        ". También ",
        " y después ",
        ", y ",
        " y de paso ",
    ],
}
SENTENCES: Mapping[str, Sequence[str]] = {
    "en": [
        " ",
        " ",
        " ",
        " Also, ",
        " And ",
        " Then: ",
        " Oh, and ",
        " After that, ",
        " Also: ",
        " Next, ",
        " Plus, ",
        " Second: ",
    ],
    "pt": [" ", " ", " Também, ", " E ", " Depois, ", " Ah, e "],
    "es": [" ", " ", " También, ", " Y ", " Después, ", " Ah, y "],
}

# What people say before they say what they want.
GREETINGS: Mapping[str, Sequence[str]] = {
    "en": [
        "Hey, ",
        "hi, ",
        "Hi there! ",
        "OK so ",
        "ok, ",
        "So, ",
        "Right, ",
        "um, ",
        "Morning! ",
        "Please ",
        "Quick one: ",
    ],
    "pt": ["Oi, ", "olá, ", "Bom dia! ", "Então, ", "Por favor, ", "ok, "],
    "es": ["Hola, ", "oye, ", "Buenas. ", "A ver, ", "Por favor, ", "ok, "],
}

FOLDERS = ["Work", "Personal", "Inbox", "Home", "Research", "Ideas"]
LISTS = ["Errands", "Work", "Home", "Today", "Chores"]
CALENDARS = ["Work", "Family", "Private", "Team", "Studio"]

# Names that another author might have given the tools.
ALIASES: Mapping[str, Sequence[str]] = {
    "get_phone_number": ("lookup_phone", "find_number", "contact_phone"),
    "get_email_address": ("lookup_email", "find_email", "contact_email"),
    "create_calendar_event": ("add_event", "schedule_event", "calendar_add", "book_event"),
    "open_and_get_file_path": ("find_file", "open_file", "locate_file"),
    "summarize_pdf": ("pdf_summary", "summarise_document", "digest_pdf"),
    "compose_new_email": ("send_email", "write_email", "mail_new", "email"),
    "reply_to_email": ("reply", "answer_email", "mail_reply"),
    "forward_email": ("forward", "mail_forward", "pass_on_email"),
    "maps_open_location": ("show_place", "open_map", "map_pin"),
    "maps_show_directions": ("directions", "navigate", "show_route"),
    "create_note": ("new_note", "note_create", "write_note"),
    "open_note": ("read_note", "show_note", "note_open"),
    "append_note_content": ("add_to_note", "note_append", "extend_note"),
    "create_reminder": ("remind", "add_reminder", "set_reminder", "todo_add"),
    "send_sms": ("text_message", "send_text", "sms", "message"),
    "get_zoom_meeting_link": ("zoom_link", "create_zoom", "video_meeting"),
}

# And their parameters.
PARAMETERS: Mapping[str, Sequence[str]] = {
    "attachments": ("files", "attached"),
    "calendar": ("calendar_name", "agenda"),
    "cc": ("copy_to", "copies"),
    "content": ("text", "body", "note"),
    "context": ("body", "text", "about"),
    "end_location": ("destination", "to", "end"),
    "file_name": ("file", "document"),
    "folder": ("in_folder", "notebook"),
    "invitees": ("guests", "attendees", "people"),
    "list_name": ("list", "task_list"),
    "location": ("place", "where", "venue"),
    "meeting_invitees": ("guests", "attendees", "people"),
    "message": ("text", "body", "content"),
    "name": ("title", "label"),
    "notes": ("details", "comment", "description"),
    "pdf_path": ("file", "document", "pdf"),
    "recipients": ("to", "people"),
    "start_location": ("origin", "start"),
    "subject": ("title", "headline"),
    "title": ("name", "event"),
    "topic": ("title", "subject"),
    "transport": ("by", "mode"),
}
