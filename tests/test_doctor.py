"""`tinyagent doctor`: what it finds, and that it says how to mend it."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from osascript_standin import StandIn

from pipeline.doctor import MAC_APPS, doctor
from pipeline.journal import FILE
from pipeline.models import adapter_path

needs_model = pytest.mark.skipif(adapter_path() is None, reason="this installation has no planner's adapter")


class Doctor:
    """Calls the command on a data folder with settings of its own."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.settings = folder / "config.toml"
        self.data_dir: Path | None = data_dir  # None leaves it to the settings

    def __call__(self, *arguments: str, settings: str = "") -> Result:
        self.settings.write_text(settings)
        options = ["--config", str(self.settings)]
        if self.data_dir:
            options += ["--data-dir", str(self.data_dir)]
        return CliRunner().invoke(doctor, [*options, *arguments], standalone_mode=False, catch_exceptions=False)

    def found(self, settings: str = "") -> dict[str, tuple[bool, str, str | None]]:
        result = self("--json", settings=settings)
        checks = json.loads(result.stdout)
        assert result.return_value == (0 if all(check["ok"] for check in checks) else 1)
        return {check["name"]: (check["ok"], check["what"], check["fix"]) for check in checks}


@pytest.fixture
def examine(tmp_path: Path, data_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setenv("TINYAGENT_CACHE", str(cache))
    return Doctor(tmp_path, data_dir)


@needs_model
def test_all_is_well(examine: Doctor) -> None:
    result = examine()
    assert result.return_value == 0, result.stdout
    assert "✗" not in result.stdout
    for name in ("settings", "tools", "planner", "classifier", "encoder", "data folder", "journal"):
        assert f"✓ {name}: " in result.stdout
    assert "osascript" not in result.stdout  # the desktop needs none


def test_wrong_settings_are_all_that_is_told(examine: Doctor) -> None:
    [(ok, what, fix)] = examine.found("[planer]\n").values()
    assert not ok
    assert "'planer' is not a setting" in what
    assert fix == "did you mean 'planner'?"


def test_what_is_missing_is_named_with_its_mend(examine: Doctor) -> None:
    found = examine.found(
        f'disabled_apps = {["maps", "pdf", "zoom", *MAC_APPS]}\n[planner]\nmodel = "tinyagent-1.1b"\n[selection]\nroute = "all"\n'
    )
    assert found["tools"] == (False, "all tools are switched off", "mend enabled_apps and disabled_apps")
    assert found["planner"] == (
        False,
        "tinyagent-1.1b is not here",
        "'tinyagent models pull tinyagent-1.1b' fetches it",
    )
    assert "classifier" not in found and "encoder" not in found  # with this route nobody needs them
    assert not examine.found('[planner]\nmodel = "none.gguf"\n')["planner"][0]
    assert examine.found('[planner]\nkind = "openai"\nmodel = "m"\n')["planner"][1].startswith("m at http://localhost")


def test_a_folder_that_cannot_be_written_to(examine: Doctor, tmp_path: Path) -> None:
    examine.data_dir = tmp_path / "new" / "data"
    assert examine.found()["data folder"] == (
        True, f"{examine.data_dir}, which is made when it is first written to, or by 'tinyagent init'", None
    )  # fmt: skip
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("x")
    examine.data_dir = tmp_path / "file" / "data"
    ok, what, fix = examine.found()["data folder"]
    assert (ok, fix) == (False, "set another data_dir")
    assert "cannot be made" in what
    examine.data_dir = None
    ok, what, _ = examine.found(f"data_dir = '{tmp_path / 'file'}'\n")["data folder"]
    assert not ok
    assert "cannot be written to: Not a directory" in what


def test_a_broken_journal_is_told(examine: Doctor) -> None:
    path = examine.data_dir / FILE
    path.parent.mkdir(parents=True)
    path.write_text("no database, but long enough that SQLite sees it is none: " + "x" * 200)
    ok, what, _ = examine.found()["journal"]
    assert not ok
    assert str(path) in what
    path.unlink()
    sqlite3.connect(path).execute("PRAGMA user_version = 999").connection.commit()
    assert not examine.found()["journal"][0]


def test_a_mac_without_osascript_is_none(examine: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = examine.found('backend = "macos"\n')
    assert found["osascript"] == (False, "there is no osascript here: this is not a Mac", 'set backend = "desktop"')
    assert not any(name.startswith("the app") for name in found)


def test_each_app_is_asked_for_its_permission(examine: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mac = StandIn(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(mac.folder), prepend=os.pathsep)
    for app in MAC_APPS.values():
        mac.says(f"check_{app.lower()}", "done")
    mac.fails("check_notes", -1743)
    found = examine.found('backend = "macos"\ndisabled_apps = ["mail"]\n')
    assert found["osascript"] == (True, str(mac.folder / "osascript"), None)
    assert found["the app Calendar"] == (True, "this program may control Calendar", None)
    assert "the app Mail" not in found
    ok, what, fix = found["the app Notes"]
    assert (ok, what) == (False, "macOS does not let this program control Notes (-1743)")
    assert "System Settings > Privacy & Security > Automation" in str(fix)
    text = examine(settings='backend = "macos"\n')
    assert text.return_value == 1
    assert "✗ the app Notes: macOS does not let" in text.stdout
    assert "    To mend it: allow it under System Settings" in text.stdout


def test_the_command_line_knows_it() -> None:
    from pipeline.cli import cli

    result = CliRunner().invoke(cli, ["doctor", "--help"])
    assert result.exit_code == 0
    assert "say how to mend" in result.stdout
