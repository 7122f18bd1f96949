"""The command line, as a user meets it: real processes, real exit codes, no traceback for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.models import adapter_path

LATE = "Text Priya that I'm ten minutes late"
needs_model = pytest.mark.skipif(adapter_path() is None, reason="this installation has no planner's adapter")


class Command:
    """Runs `tinyagent` in an empty folder, with a data folder and a cache of its own."""

    def __init__(self, folder: Path, data_dir: Path, cache: Path) -> None:
        self.folder, self.data_dir = folder, data_dir
        self.env = os.environ | {
            "TINYAGENT_CACHE": str(cache),
            "TINYAGENT_CONFIG": str(folder / "config.toml"),
            "COLUMNS": "160",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        }

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.popen(*arguments) as process:
            out, err = process.communicate(timeout=300)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def data(self) -> tuple[str, str]:
        return ("--data-dir", str(self.data_dir))


@pytest.fixture
def tinyagent(tmp_path: Path, data_dir: Path, cache: Path) -> Command:
    folder = tmp_path / "empty"
    folder.mkdir()
    return Command(folder, data_dir, cache)


def test_help_says_what_there_is(tinyagent: Command) -> None:
    result = tinyagent("--help")
    assert result.returncode == 0
    for command in ("run", "plan", "select", "tools", "models", "init"):
        assert command in result.stdout


# ── run and plan ─────────────────────────────────────────────────────────────────────────────────────


@needs_model
@pytest.mark.model
def test_run_does_what_is_asked(tinyagent: Command) -> None:
    result = tinyagent("run", LATE, "--yes", *tinyagent.data())
    assert result.returncode == 0, result.stderr + result.stdout
    assert list((tinyagent.data_dir / "messages" / "outbox").iterdir())
    assert "send_sms" in result.stderr


@needs_model
@pytest.mark.model
def test_where_nobody_can_answer_nothing_is_sent(tinyagent: Command) -> None:
    result = tinyagent("run", LATE, *tinyagent.data())
    assert result.returncode != 0
    assert "--yes" in result.stderr
    assert not list((tinyagent.data_dir / "messages").rglob("*.json"))


@needs_model
@pytest.mark.model
def test_run_prints_json_for_scripts(tinyagent: Command) -> None:
    result = tinyagent("run", LATE, "--yes", "--json", *tinyagent.data())
    document = json.loads(result.stdout)
    assert document["complete"]
    assert document["plan"].endswith("join()")
    assert {step["status"] for step in document["steps"]} == {"done"}


@needs_model
@pytest.mark.model
def test_an_unknown_contact_is_said_plainly(tinyagent: Command) -> None:
    result = tinyagent("run", "Text Xanthippe Quux that I'm late", "--yes", *tinyagent.data())
    assert result.returncode == 1
    assert "Xanthippe Quux" in result.stdout


@needs_model
@pytest.mark.model
def test_a_batch_is_planned_in_order(tinyagent: Command) -> None:
    rows = [
        {"id": "a", "now": "2026-05-13 09:30:00", "query": LATE},
        {"id": "b", "now": "2026-05-13 09:30:00", "query": ""},
        {"id": "c", "now": "2026-05-13 09:30:00", "query": "Remind me to call mum tomorrow at 6"},
    ]
    (tinyagent.folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tinyagent("plan", "--batch", "in.jsonl", "--out", "out.jsonl")
    assert result.returncode == 3, result.stderr
    a, b, c = (json.loads(line) for line in (tinyagent.folder / "out.jsonl").read_text().splitlines())
    assert (a["id"], b["id"], c["id"]) == ("a", "b", "c")
    assert "empty" in b["error"] and "plan" not in b
    assert c["plan"].startswith('1. create_reminder("') and "2026-05-14 18:00:00" in c["plan"]
    assert 0 < a["prompt_tokens"] < a["full_prompt_tokens"]
    assert {"send_sms", "get_phone_number"} <= set(a["tools"])
    assert not list(tinyagent.folder.glob("*.part"))


def test_a_wrong_batch_names_the_line(tinyagent: Command) -> None:
    (tinyagent.folder / "in.jsonl").write_text('{"id": 1, "now": "2026-05-13 09:30:00", "query": "x"}\n{"id": 2}\n')
    result = tinyagent("plan", "--batch", "in.jsonl", "--out", "out.jsonl")
    assert result.returncode == 2
    assert "in.jsonl:2" in result.stderr
    assert not (tinyagent.folder / "out.jsonl").exists()


@pytest.mark.parametrize("request_", ["", "   ", "x" * 10_000])
def test_no_request_is_a_usage_error(tinyagent: Command, request_: str) -> None:
    result = tinyagent("run", request_, *tinyagent.data())
    assert result.returncode == 2
    assert result.stderr.startswith("Error: the request")


@needs_model
@pytest.mark.model
def test_ctrl_c_ends_a_run_at_once_with_nothing_left_behind(tinyagent: Command) -> None:
    before = sorted(tinyagent.data_dir.rglob("*"))
    with tinyagent.popen("run", LATE, "--yes", *tinyagent.data()) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the tools are selected, and the model is being loaded
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert sorted(tinyagent.data_dir.rglob("*")) == before


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("plannr = 3", "did you mean 'planner'?"),
        ("[planner]\nmodle = 'x'", "did you mean 'model'?"),
        ("[planner]\nthreads = -1", "planner.threads"),
        ("= nonsense", "config.toml"),
        ("disabled_apps = ['mial']", "the apps are"),
        ("tools = ['/no/such/folder']", "no such file or folder"),
    ],
)
def test_a_wrong_setting_is_named_with_its_mend(tinyagent: Command, toml: str, said: str) -> None:
    (tinyagent.folder / "config.toml").write_text(toml)
    result = tinyagent("select", "hello")
    assert result.returncode == 2
    assert said in result.stderr


def test_a_model_that_is_not_there_says_how_to_get_it(tinyagent: Command) -> None:
    (tinyagent.folder / "config.toml").write_text("[planner]\nmodel = 'qwen2.5-coder-0.5b'")
    result = tinyagent("plan", LATE)
    assert result.returncode == 1
    assert "tinyagent models pull qwen2.5-coder-0.5b" in result.stderr


def test_a_file_that_is_no_model_is_refused(tinyagent: Command) -> None:
    (tinyagent.folder / "broken.gguf").write_bytes(b"GGUF but not really")
    (tinyagent.folder / "config.toml").write_text("[planner]\nmodel = 'broken.gguf'")
    result = tinyagent("plan", LATE)
    assert result.returncode == 1
    assert "broken.gguf" in result.stderr


# ── select, tools, models, init ──────────────────────────────────────────────────────────────────────


def test_select_explains_itself(tinyagent: Command) -> None:
    result = tinyagent("select", LATE, "--explain")
    assert result.returncode == 0
    assert "classifier" in result.stdout and "send_sms" in result.stdout and "offered from" in result.stdout


def test_tools_are_listed_and_shown(tinyagent: Command) -> None:
    assert len(json.loads(tinyagent("tools", "list", "--json").stdout)) == 16
    shown = tinyagent("tools", "show", "send_sms")
    assert "send_sms(recipients, message)" in shown.stdout
    wrong = tinyagent("tools", "show", "send_smss")
    assert wrong.returncode == 2 and "did you mean 'send_sms'?" in wrong.stderr


def test_a_new_tool_passes_its_own_lint(tinyagent: Command) -> None:
    assert tinyagent("tools", "new", "feed_cat", "--to", "mine").returncode == 0
    assert tinyagent("tools", "lint", "mine").returncode == 0
    assert tinyagent("tools", "new", "feed_cat", "--to", "mine").returncode == 2
    listed = json.loads(tinyagent("tools", "list", "--json", "--tools", "mine").stdout)
    assert "feed_cat" in {spec["name"] for spec in listed}


def test_lint_names_file_line_field_and_mend(tinyagent: Command) -> None:
    tinyagent("tools", "new", "feed_cat", "--to", "mine")
    path = tinyagent.folder / "mine" / "feed_cat.yaml"
    path.write_text(path.read_text().replace("effect: read", "efect: read"))
    result = tinyagent("tools", "lint", "mine")
    assert result.returncode == 1
    assert "feed_cat.yaml:" in result.stdout and "effect" in result.stdout


def test_models_are_listed_with_licence_and_hash(tinyagent: Command) -> None:
    models = {model["name"]: model for model in json.loads(tinyagent("models", "list", "--json").stdout)}
    default = models["smollm2-135m"]
    assert default["default"] and default["licence"] == "Apache-2.0" and Path(default["path"]).is_file()
    assert tinyagent("models", "path").stdout.strip() == default["path"]


def test_init_makes_a_folder_and_never_touches_a_full_one(tinyagent: Command) -> None:
    new = tinyagent.folder / "new"
    assert tinyagent("init", "--sample", "--data-dir", str(new)).returncode == 0
    assert list((new / "contacts").glob("*.vcf"))
    again = tinyagent("init", "--sample", "--data-dir", str(new))
    assert again.returncode == 2 and str(new) in again.stderr
