"""A stand-in for macOS's `osascript`, so that the macOS tools can be tested anywhere: a program to be put on PATH.

`StandIn` installs it. It notes each call's arguments exactly, as a JSON list in a file, and answers in one of two ways. From a table: for each
script a file `NAME.out` with what to print, or `NAME.err` with the error to fail with. Or, with a model of the apps (`APPS`), as the
scripts and the apps would together: contacts, calendars, lists, notes, the selected mail and what is sent live in a JSON file
beside it. The model knows what the scripts take and give and nothing of the tools' rules.
"""

import sys

# ── the program ──────────────────────────────────────────────────────────────────────────────────────
# It is started thousands of times, so that it imports next to nothing before it has answered from the table.


def main() -> int:
    """Be osascript."""
    from _json import encode_basestring_ascii as quoted
    from posix import getpid
    from time import time_ns

    home = __file__.rpartition("/")[0]
    with open(f"{home}/calls/{time_ns()}-{getpid()}.json", "x") as call:  # noqa: PTH123
        call.write(f"[{', '.join(map(quoted, sys.argv[1:]))}]")
    name = sys.argv[1].rpartition("/")[2].removesuffix(".applescript")
    for end, stream in (("out", sys.stdout), ("err", sys.stderr)):
        try:
            with open(f"{home}/{name}.{end}", encoding="utf-8", newline="") as file:  # noqa: PTH123
                stream.write(file.read() + "\n")
        except FileNotFoundError:
            continue
        return 1 if end == "err" else 0
    return apps(home, name, sys.argv[2:])


# ── the model of the apps ────────────────────────────────────────────────────────────────────────────


class AppleEventError(Exception):
    """An app refuses: the number of the error and what it says."""


def apps(home: str, script: str, argv: list[str]) -> int:
    """Answer as a script and the app that it drives would, and keep what changed."""
    import json
    from pathlib import Path

    path = Path(home, "apps.json")
    state = json.loads(path.read_text("utf-8"))
    try:
        answer = _SCRIPTS[script](state, argv)
    except AppleEventError as error:
        number, said = error.args
        sys.stderr.write(f"{sys.argv[1]}:99:120: execution error: {said} ({number})\n")
        return 1
    path.write_text(json.dumps(state, ensure_ascii=False), "utf-8")
    sys.stdout.write(answer + "\n")
    return 0


def _escaped(field: object) -> str:
    text = {True: "true", False: "false"}.get(field, field) if isinstance(field, bool) else field
    marks = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return "".join(marks.get(c, c) for c in str(text))


def _rows(rows: list, first: str = "done") -> str:
    return "\n".join([first, *("\t".join(map(_escaped, row)) for row in rows)])


def _date(argv: list[str], position: int) -> str:
    year, month, day, hour, minute, second = map(int, argv[position : position + 6])
    return f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def _counted(argv: list[str], position: int) -> tuple[list[str], int]:
    """Return a counted list and where the next argument stands."""
    end = position + 1 + int(argv[position])
    assert end <= len(argv)
    return argv[position + 1 : end], end


def _calendars(state, argv):
    return _rows([[n, c["name"], c["writable"], c.get("about", "")] for n, c in enumerate(state["calendars"], 1)])


def _create_event(state, argv):
    position, name, first = int(argv[0]), argv[1], argv[18] == "yes"
    invitees, end = _counted(argv, 19)
    assert end == len(argv)
    if position == 0:
        state["calendars"].append({"name": name, "writable": True, "events": []})
    calendar = state["calendars"][position - 1]
    if calendar["name"] != name:
        return "changed"
    event = {"title": argv[15], "start": _date(argv, 2), "end": _date(argv, 8), "whole_day": argv[14] == "yes"}
    event |= {"location": argv[16], "notes": argv[17], "invitees": invitees if calendar.get("invites", True) else []}
    known = [e for e in calendar["events"] if (e["title"], e["start"]) == (event["title"], event["start"])]
    if not (first and known):
        calendar["events"].append(event)
    return f"done\n{len(event['invitees'])}"


def _reminder_lists(state, argv):
    return _rows([[x["id"], x["name"], x["account"], "yes" if x.get("default") else "no"] for x in state["lists"]])


def _create_reminder(state, argv):
    assert len(argv) == 13
    if not argv[0]:
        state["lists"].append({"id": f"list-{len(state['lists'])}", "name": argv[1], "account": "iCloud", "items": []})
        argv = [state["lists"][-1]["id"], *argv[1:]]
    found = next((x for x in state["lists"] if x["id"] == argv[0]), None)
    if found is None:
        raise AppleEventError(-1728, "Reminders got an error: Can’t get list.")
    item = {"name": argv[9], "due": _date(argv, 2), "all_day": argv[8] == "yes", "notes": argv[10]}
    item["priority"] = int(argv[11])
    if not (argv[12] == "yes" and any((i["name"], i["due"]) == (item["name"], item["due"]) for i in found["items"])):
        found["items"].append(item)
    return "done"


def _people(state, argv):
    rows = []
    for person in state["people"]:
        told = [person.get(key, "") for key in ("full", "first", "last", "nickname", "company", "job")]
        rows.append(["person", person["id"], *told])
        for label, number in person.get("phones", []):
            rows.append(["phone", person["id"], label, number, "", "", "", ""])
        rows += [["email", person["id"], "", address, "", "", "", ""] for address in person.get("emails", [])]
        rows += [["group", person["id"], group, "", "", "", "", ""] for group in person.get("groups", [])]
    if me := state.get("me"):
        rows.append(["me", me, "", "", "", "", "", ""])
        rows += [["relation", me, label, who, "", "", "", ""] for label, who in state.get("relations", [])]
    return _rows(rows)


def _notes(state, argv):
    rows = []
    for folder in state["folders"]:
        default = "yes" if folder.get("default") else "no"
        rows.append(["folder", folder["id"], folder["name"], folder.get("parent", ""), folder["account"], default])
        for note in state["notes"]:
            if note["folder"] == folder["id"]:
                rows.append(["note", note["id"], _lines(note["body"])[0], folder["id"], "", ""])
    return _rows(rows)


def _lines(html: str) -> list[str]:
    """Return the lines that Notes would show of a body."""
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        lines: list[str]

        def __init__(self) -> None:
            super().__init__()
            self.lines, self.fresh = [], True

        def handle_starttag(self, tag, attrs):
            if tag in ("div", "h1", "li", "p") and not self.fresh:
                self.fresh = True

        def handle_endtag(self, tag):
            if tag in ("div", "li", "p"):
                if self.fresh:
                    self.lines.append("")
                self.fresh = True

        def handle_data(self, data):
            if self.fresh:
                self.lines.append("")
                self.fresh = False
            self.lines[-1] += data

    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.lines or [""]


def _create_note(state, argv):
    folder_id, name, body = argv
    if not folder_id and name:
        folder_id = f"folder-{len(state['folders'])}"
        state["folders"].append({"id": folder_id, "name": name, "account": "iCloud"})
    if not folder_id:
        folder_id = next(f["id"] for f in state["folders"] if f.get("default"))
    state["notes"].append({"id": f"note-{len(state['notes'])}", "folder": folder_id, "body": body})
    return "done"


def _note(state, note_id):
    found = next((n for n in state["notes"] if n["id"] == note_id), None)
    if found is None:
        raise AppleEventError(-1728, f'Notes got an error: Can’t get note id "{note_id}".')
    return found


def _open_note(state, argv):
    note = _note(state, argv[0])
    if note.get("locked"):
        return "locked"
    if argv[1] == "yes":
        state["shown"].append(note["id"])
    return "done\n" + "\n".join(_lines(note["body"]))


def _append(state, argv):
    note = _note(state, argv[0])
    if note.get("locked"):
        return "locked"
    if note.get("attachments"):
        return "attachments"
    note["body"] += argv[1]
    return "done"


def _compose(state, argv):
    sender, subject, text = argv[:3]
    to, position = _counted(argv, 3)
    cc, position = _counted(argv, position)
    files, position = _counted(argv, position)
    assert position == len(argv)
    state["drafts"].append({"from": sender, "subject": subject, "text": text, "to": to, "cc": cc, "files": files})
    return "done"


def _selected(state, argv):
    chosen = state["selected"]
    if not chosen:
        return "none"
    if len(chosen) > 1:
        return _rows([[f"{m['subject']}, from {m['sender']}"] for m in chosen], "ambiguous")
    return f"done\n{chosen[0]['id']}\n{chosen[0]['source']}"


def _reply(state, argv):
    cc, position = _counted(argv, 2)
    files, position = _counted(argv, position)
    assert position == len(argv)
    if [str(m["id"]) for m in state["selected"]] != [argv[0]]:
        return "changed"
    to = state["selected"][0]["sender"]
    state["drafts"].append({"reply_to": argv[0], "text": argv[1], "to": [to], "cc": cc, "files": files})
    return "done"


def _send(state, argv):
    service, text = argv[:2]
    numbers, position = _counted(argv, 2)
    assert position == len(argv)
    if not [s for s in state["services"] if service in ("auto", s)]:
        return "no account"
    rows = []
    for number in numbers:
        if code := state.get("undeliverable", {}).get(number):
            rows.append(["failed", number, code, "Messages got an error: it could not be sent."])
        else:
            state["sent"].append({"to": number, "text": text})
            rows.append(["sent", number, 0, ""])
    return _rows(rows)


def _opened(state, argv):
    state["opened"].append(argv)
    return "done"


_SCRIPTS = {
    "calendars": _calendars,
    "create_calendar_event": _create_event,
    "reminder_lists": _reminder_lists,
    "create_reminder": _create_reminder,
    "people": _people,
    "notes": _notes,
    "create_note": _create_note,
    "open_note": _open_note,
    "append_note_content": _append,
    "compose_new_email": _compose,
    "selected_email": _selected,
    "reply_to_email": _reply,
    "send_sms": _send,
    "open_url": _opened,
    "open_file": _opened,
    **{f"check_{app}": lambda state, argv: "done" for app in (
        "calendar", "contacts", "finder", "mail", "messages", "notes", "reminders",
    )},
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())


# ── what the tests use ───────────────────────────────────────────────────────────────────────────────


class StandIn:
    """An installed stand-in.

    Args:
        folder: An empty folder, to be put first on PATH.
    """

    def __init__(self, folder) -> None:
        import os
        import shutil
        from pathlib import Path

        self.folder = Path(folder)
        (self.folder / "calls").mkdir(parents=True)
        shutil.copy(__file__, self.folder / "standin.py")
        launcher = self.folder / "osascript"
        # Isolated and without site-packages: it starts in a few milliseconds. A shell hands the arguments on as they are.
        interpreter = os.path.realpath(sys.executable)
        launcher.write_text(f'#!/bin/sh\nexec "{interpreter}" -I -S -X utf8 "{self.folder}/standin.py" "$@"\n')
        launcher.chmod(0o755)

    def says(self, script: str, out: str) -> None:
        """Have a script print `out`."""
        (self.folder / f"{script}.out").write_bytes(out.encode())

    def fails(self, script: str, number: int, said: str = "it went wrong") -> None:
        """Have a script fail with the error of an Apple event."""
        (self.folder / f"{script}.out").unlink(missing_ok=True)
        line = f"/somewhere/{script}.applescript:120:150: execution error: App got an error: {said} ({number})"
        (self.folder / f"{script}.err").write_text(line, encoding="utf-8")

    def plays(self, state: dict) -> None:
        """Have the model of the apps answer, from this state on."""
        import json

        (self.folder / "apps.json").write_text(json.dumps(state), "utf-8")

    @property
    def state(self) -> dict:
        """The state of the apps now."""
        import json

        return json.loads((self.folder / "apps.json").read_text("utf-8"))

    def calls(self) -> list[list[str]]:
        """Return the arguments of every call since the last time: the script's path, and what it was given."""
        import json

        files = sorted((self.folder / "calls").iterdir())
        found = [json.loads(file.read_text("ascii")) for file in files]
        for file in files:
            file.unlink()
        return found
