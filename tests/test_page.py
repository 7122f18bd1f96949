"""The page at `/`, in a real headless Chromium: what a person sees and does, by eye, by keyboard and by screen reader."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, HERE, SWITCHES, WAIT_MS, link, scripted, service

from pipeline.models import adapter_path

if CHROMIUM is None:
    pytest.skip("there is no Chromium here: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402

expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from conftest import NOW

    from pipeline.tools.desktop.sample import create_sample

    data = tmp_path_factory.mktemp("page") / "data"
    create_sample(data, NOW)
    return data


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with service(str(HERE / "browsing.py"), str(folder)) as address:
        yield address


@dataclass
class Visit:
    """A person's visit to the page, and what went wrong in it."""

    page: Page
    url: str
    folder: Path
    wrong: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)  # hosts

    def run(self, request: str) -> None:
        self.page.get_by_label("What shall be done?").fill(request)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#run-title")).to_have_text(request)

    @property
    def phase(self) -> Locator:
        return self.page.locator(".chip")

    def node(self, number: int) -> Locator:
        return self.page.locator(f".graph [data-step='{number}']")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def accept(self) -> None:
        self.button("Accept").wait_for()
        self.page.wait_for_timeout(600)  # what is pressed at once is not taken for an answer
        self.button("Accept").click()


def visiting(chromium: Browser, url: str, folder: Path, **options: Any) -> Iterator[Visit]:
    context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
    context.set_default_timeout(WAIT_MS)
    visit = Visit(context.new_page(), url, folder)
    visit.page.on("pageerror", lambda error: visit.wrong.append(str(error)))
    visit.page.on("console", lambda said: visit.wrong.append(said.text) if said.type == "error" else None)
    visit.page.on("request", lambda request: visit.asked.add(request.url.split("/")[2]))
    yield visit
    context.close()


@pytest.fixture
def visit(chromium: Browser, url: str, folder: Path) -> Iterator[Visit]:
    """Somebody who came by a link, and after whom nothing is wrong and nobody else was asked."""
    for visit in visiting(chromium, url, folder):
        visit.page.goto(link(folder, url))
        visit.page.get_by_label("What shall be done?").wait_for()
        yield visit
        assert visit.wrong == []
        assert visit.asked == {url.removeprefix("http://")}


def test_a_request_is_planned_asked_about_and_done(visit: Visit, tmp_path: Path) -> None:
    note, gate = tmp_path / "note", f"gate-{tmp_path.name}"
    visit.run(f'plan: echo("one"); pause {gate}; note("{note}", "$1 two"); echo("three")')
    tools = visit.page.get_by_role("region", name="Tools")
    expect(tools.get_by_text("index")).to_be_visible()
    expect(tools.locator("li.chosen .name").nth(0)).to_have_text("echo")
    expect(tools.locator("li.chosen .score").nth(0)).to_have_text("0.90")
    # While the plan is being written, what is written of it is there.
    expect(visit.phase).to_have_text("Planning")
    expect(visit.node(1)).to_have_class(re.compile("planned"))
    assert visit.page.locator(".graph .node").count() == 1
    (visit.folder / gate).touch()
    expect(visit.phase).to_have_text("Waits for you")
    assert visit.page.locator(".graph .node").count() == 4  # the answer's as well
    assert visit.page.locator(".graph .edge").count() == 3
    expect(visit.node(1)).to_have_class(re.compile("done"))
    expect(visit.node(2)).to_have_class(re.compile("asking"))
    question = visit.page.get_by_role("group", name="Write this? note")
    expect(question).to_contain_text(str(note))
    expect(question).to_contain_text("one two")
    assert not note.exists()
    visit.accept()
    expect(visit.page.get_by_role("region", name="Answer")).to_be_visible()
    expect(visit.phase).to_have_text("Done")
    for number in (1, 2, 3):
        expect(visit.node(number)).to_have_class(re.compile("done"))
    assert note.read_text() == "one two\n"
    expect(visit.page.get_by_role("region", name="Prompt")).to_contain_text(re.compile(r"\d+ % fewer tokens"))
    visit.button("Measure with all tools").click()
    expect(visit.page.get_by_role("region", name="Prompt").locator(".compare").nth(1).locator("li")).to_have_count(2)


def test_a_yes_is_only_taken_from_who_had_time_to_read(visit: Visit, tmp_path: Path) -> None:
    note = tmp_path / "note"
    visit.page.evaluate(
        """() => new MutationObserver((changes) => {
            for (const { addedNodes } of changes)
                for (const node of addedNodes) node.querySelectorAll?.('.primary').forEach((button) => button.closest('.question') && button.click());
        }).observe(document.body, { childList: true, subtree: true })"""
    )
    visit.run(f'plan: note("{note}", "one"); note("{note}", "two")')
    visit.accept()
    expect(visit.page.get_by_role("group", name="Write this?")).to_contain_text("two")
    visit.page.wait_for_timeout(600)
    assert note.read_text() == "one\n"  # the second click of a double one did nothing
    visit.button("Decline").click()
    expect(visit.phase).to_have_text("Done in part")
    expect(visit.node(2)).to_have_class(re.compile("declined"))
    assert note.read_text() == "one\n"


def test_a_run_is_stopped(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    visit.run(f'plan: wait("{file}"); echo("$1")')
    expect(visit.node(1)).to_have_class(re.compile("running"))
    visit.page.wait_for_function("document.querySelector('.graph .running')")
    visit.button("Stop").click()
    expect(visit.phase).to_have_text("Stopped")
    expect(visit.page.get_by_role("region", name="Stopped", exact=True)).to_contain_text("you stopped it")
    expect(visit.button("Stop")).to_be_hidden()
    if file.exists():
        assert not Path(f"/proc/{file.read_text().strip()}").exists()


def test_which_one_is_meant_is_asked(visit: Visit) -> None:
    visit.run('plan: get_phone_number("Chris"); echo("$1")')
    question = visit.page.get_by_role("group", name=re.compile("Chris"))
    question.wait_for()
    visit.page.wait_for_timeout(600)
    question.get_by_role("button", name="Chris Nakamura").click()
    expect(visit.phase).to_have_text("Done")
    expect(visit.page.locator(".steps [data-step='1'] .output")).to_contain_text("0114")


def test_who_is_written_to_is_shown_with_the_words_that_chose_them(visit: Visit) -> None:
    visit.run('plan: send_sms(["Priya"], "I am late")')
    question = visit.page.get_by_role("group", name="Send this? send_sms")
    expect(question).to_contain_text("555-0110")
    expect(question).to_contain_text("for “Priya”")
    visit.accept()
    expect(visit.phase).to_have_text("Done")


def test_a_warning_comes_first(visit: Visit) -> None:
    name = next((visit.folder / "notes").rglob("*.md")).stem
    visit.run(f'plan: open_note("{name}"); note("$1", "x")')
    question = visit.page.get_by_role("group", name="Write this? note")
    expect(question.locator(".warnings")).to_contain_text("not from your request")
    expect(visit.page.locator("#urgent")).to_contain_text("not from your request")
    visit.page.wait_for_timeout(600)
    visit.button("Decline").click()
    expect(visit.phase).to_have_text("Done in part")


HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script><svg onload="hit=1">\u202egnp.exe'


def test_text_is_only_ever_text(visit: Visit, tmp_path: Path) -> None:
    note = tmp_path / "<b>note"
    said = json.dumps(HOSTILE, ensure_ascii=False)
    visit.run(f'{HOSTILE} plan: echo({said}); note("{note}", {said})'.replace("\u202e", ""))
    visit.accept()
    expect(visit.phase).to_have_text("Done")
    assert visit.page.evaluate("window.hit") is None
    assert visit.page.locator("#room img, #room script, .run b, .steps svg, .past svg").count() == 0
    expect(visit.page.locator(".steps [data-step='1'] .output")).to_contain_text("<script>window.hit=1</script>")
    # What would not be seen, or would turn the rest around, is.
    turned = visit.page.evaluate(
        "async () => { const { h } = await import('/web/dom.js'); return h('p', {}, 'a\\u202eb\\u200dc\\u0007').textContent }"
    )
    assert turned == "a\\u202eb\u200dc\\u0007"
    # The policy would stop what we overlook.
    for attack in (
        "document.body.innerHTML = '<p>x'",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'hit=1'}))",
    ):
        with pytest.raises(playwright.Error, match=r"TrustedHTML|TrustedScript"):
            visit.page.evaluate(f"() => {{ {attack} }}")
    assert visit.page.evaluate("window.hit") is None
    visit.wrong.clear()


def test_past_runs_are_opened_and_played_back(visit: Visit) -> None:
    visit.run('plan: echo("a long time ago"); echo("$1!")')
    expect(visit.phase).to_have_text("Done")
    visit.page.get_by_role("link", name="TinyAgent, new request").click()
    expect(visit.page.locator("#run")).to_be_hidden()
    past = visit.page.get_by_role("navigation", name="Past runs").get_by_role("link", name="a long time ago")
    visit.page.reload()
    past.first.click()
    expect(visit.page.get_by_role("region", name="Answer")).to_contain_text("a long time ago!")
    expect(past.first).to_have_attribute("aria-current", "page")
    expect(visit.page.locator(".graph .node.done")).to_have_count(3)
    visit.button("Play back").click()
    expect(visit.phase).to_have_text("Selecting tools")
    expect(visit.phase).to_have_text("Done")


def test_runs_of_the_command_line_are_shown_from_the_journal(visit: Visit) -> None:
    with ThreadPoolExecutor() as elsewhere:  # Playwright's own loop runs in this thread
        elsewhere.submit(scripted(visit.folder).run, 'plan: echo("by hand"); echo("$1, twice")').result()
    visit.page.reload()
    visit.page.get_by_role("navigation", name="Past runs").get_by_role("link", name="by hand").first.click()
    expect(visit.page.get_by_role("region", name="Answer")).to_contain_text("by hand, twice")
    expect(visit.page.locator(".graph .node.done")).to_have_count(3)
    assert visit.page.locator(".graph .edge").count() == 2
    expect(visit.button("Play back")).to_be_hidden()


def test_a_page_that_is_loaded_anew_goes_on_where_it_was(visit: Visit, tmp_path: Path) -> None:
    note = tmp_path / "note"
    visit.run(f'plan: note("{note}", "once")')
    visit.button("Accept").wait_for()
    visit.page.reload()
    visit.accept()
    expect(visit.phase).to_have_text("Done")
    assert note.read_text() == "once\n"


def test_all_of_it_by_keyboard(visit: Visit, tmp_path: Path) -> None:
    page, note = visit.page, tmp_path / "note"
    expect(page.get_by_label("What shall be done?")).to_be_focused()
    page.keyboard.type(f'plan: note("{note}", "typed")')
    page.keyboard.press("Enter")
    question = page.get_by_role("group", name="Write this? note")
    expect(question).to_be_focused()  # the question, and no button: no key answers by accident
    expect(page.locator("#urgent")).to_have_text("Approval needed: note.")
    page.wait_for_timeout(600)
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert not note.exists()
    page.keyboard.press("Tab")
    expect(visit.button("Decline")).to_be_focused()
    page.keyboard.press("Tab")
    expect(visit.button("Accept")).to_be_focused()
    page.keyboard.press("Space")
    expect(visit.phase).to_have_text("Done")
    expect(page.locator("#run-title")).to_be_focused()
    expect(page.locator("#said")).to_contain_text("Answer:")
    assert note.read_text() == "typed\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_axe_finds_keeps_anybody_out(
    chromium: Browser, url: str, folder: Path, scheme: str, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    def check(state: str) -> None:
        found = Axe().run(
            visit.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
        )
        assert found.violations_count == 0, f"{scheme}, {state}: {found.generate_report()}"

    for visit in visiting(chromium, url, folder, color_scheme=scheme, reduced_motion="reduce"):
        visit.page.goto(url)
        visit.page.get_by_role("heading", name="Open this page with a link").wait_for()
        check("outside")
        visit.page.goto(link(folder, url))
        visit.page.get_by_label("What shall be done?").wait_for()
        check("at first")
        visit.run(f'plan: echo("one"); get_phone_number("nobody"); note("{tmp_path / "note"}", "$1")')
        visit.button("Accept").wait_for()
        check("asking")
        visit.accept()
        visit.page.get_by_role("region", name="Answer").wait_for()
        for details in visit.page.locator("details:not([open]) > summary").all():
            details.click()
        check("at the end")
        ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")


def test_a_narrow_screen_needs_no_scrolling_sideways(chromium: Browser, url: str, folder: Path) -> None:
    for visit in visiting(chromium, url, folder, viewport={"width": 360, "height": 740}):
        visit.page.goto(link(folder, url))
        visit.run('plan: echo("one"); echo("$1 two"); echo("$2 ' + "long" * 60 + '")')
        expect(visit.phase).to_have_text("Done")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert visit.page.evaluate(
            "document.querySelector('.canvas').scrollWidth <= document.querySelector('.canvas').clientWidth"
        )


def test_what_is_said_while_the_button_is_held_is_written_down(chromium: Browser, url: str, folder: Path) -> None:
    """The microphone is Chromium's own, which beeps; what writes down is stood in for, since it needs weights."""
    heard: list[tuple[str, int]] = []

    def offered(route: Any) -> None:
        document = route.fetch().json()
        document["paths"]["/v1/transcribe"] = {}
        route.fulfill(json=document)

    def transcribe(route: Any) -> None:
        heard.append((route.request.headers["content-type"], len(route.request.post_data_buffer or b"")))
        route.fulfill(json={"text": "Text Priya that I am late" if len(heard) == 1 else ""})

    for visit in visiting(chromium, url, folder, permissions=["microphone"]):
        page = visit.page
        page.goto(link(folder, url))
        page.get_by_label("What shall be done?").wait_for()
        expect(visit.button("Hold to talk")).to_be_hidden()  # this service writes nothing down
        page.route("**/openapi.json", offered)
        page.route("**/v1/transcribe", transcribe)
        page.reload()
        visit.button("Hold to talk").hover()
        page.mouse.down()
        expect(visit.button("Listening…")).to_have_attribute("aria-pressed", "true")
        page.wait_for_timeout(1000)
        page.mouse.up()
        expect(page.get_by_label("What shall be done?")).to_have_value("Text Priya that I am late")
        expect(page.get_by_label("What shall be done?")).to_be_focused()
        # One press begins, the next ends: so it is with a screen reader, and with the keyboard.
        visit.button("Hold to talk").press("Enter")
        expect(visit.button("Listening…")).to_be_focused()
        page.wait_for_timeout(1000)
        visit.button("Listening…").press("Enter")
        expect(page.locator("#ask-hint")).to_have_text("Nothing was heard.")
        assert [kind for kind, _ in heard] == ["audio/webm"] * 2
        assert all(size > 0 for _, size in heard), heard
        assert visit.wrong == []


# ── who is let in ────────────────────────────────────────────────────────────────────────────────────


def test_a_link_lets_one_browser_in_and_leaves_no_trace(chromium: Browser, url: str, folder: Path) -> None:
    once = link(folder, url)
    for visit in visiting(chromium, url, folder):
        visit.page.goto(once)
        visit.page.get_by_label("What shall be done?").wait_for()
        assert visit.page.url == f"{url}/"
        assert visit.page.context.cookies() == []
        assert visit.page.evaluate("Object.keys(localStorage).length") == 0
        session = visit.page.evaluate("sessionStorage.getItem('session')")
        assert session and session not in once
        assert session != (folder / ".tinyagent" / "token").read_text().strip()
        for other in visiting(chromium, url, folder):
            other.page.goto(once)
            expect(other.page.get_by_role("alert")).to_contain_text(["used already"])
            expect(other.page.locator("#room")).to_be_hidden()
            other.page.get_by_label("Or paste a link").fill(link(folder, url))
            other.button("Sign in").click()
            other.page.get_by_label("What shall be done?").wait_for()
            assert other.page.evaluate("sessionStorage.getItem('session')") != session
        visit.page.go_back()  # to the empty tab that it was
        assert "code=" not in visit.page.url
        visit.page.go_forward()
        visit.page.get_by_label("What shall be done?").wait_for()
        visit.button("Sign out").click()
        visit.page.get_by_role("heading", name="Open this page with a link").wait_for()
        refused = visit.page.request.get(f"{url}/v1/tools", headers={"Authorization": f"Bearer {session}"})
        assert refused.status == 401


# ── its parts ────────────────────────────────────────────────────────────────────────────────────────


def test_events_are_read_however_they_are_cut(visit: Visit) -> None:
    stream = ': \n\nretry: 1000\n\nid: 1\nevent: a\ndata: {"text": "ä€😀"}\n\nid: 2\nevent: b\ndata: {"x": 1}\n\n'
    read = visit.page.evaluate(
        """async (stream) => {
            const { Parser } = await import('/web/stream.js');
            const bytes = new TextEncoder().encode(stream);
            const all = [];
            for (let size = 1; size <= bytes.length; size += 1) {
                const parser = new Parser();
                const found = [];
                for (let at = 0; at < bytes.length; at += size) found.push(...parser.feed(bytes.slice(at, at + size)));
                all.push(JSON.stringify(found));
            }
            return [...new Set(all)];
        }""",
        stream,
    )
    assert [json.loads(found) for found in read] == [
        [{"id": 1, "kind": "a", "data": {"text": "ä€😀"}}, {"id": 2, "kind": "b", "data": {"x": 1}}]
    ]


def test_a_lost_connection_is_taken_up_where_it_broke(visit: Visit, tmp_path: Path) -> None:
    gate = f"gate-{tmp_path.name}"
    visit.run(f'plan: echo("one"); pause {gate}; echo("$1 two")')
    expect(visit.node(1)).to_be_visible()
    numbers = visit.page.evaluate(
        """async () => {
            const { follow } = await import('/web/stream.js');
            const id = location.hash.split('/').pop();
            const whole = window.fetch;
            const asked = [];
            window.fetch = async (path, options) => {
                const answer = await whole(path, options);
                if (!path.endsWith('/events')) return answer;
                asked.push(options.headers['Last-Event-ID']);
                if (asked.length > 3) return answer;
                const reader = answer.body.getReader();
                const body = new ReadableStream({  // the connection breaks after its first piece
                    async pull(to) {
                        const { value } = await reader.read();
                        to.enqueue(value.slice(0, value.length - 7));
                        reader.cancel();
                        if (asked.length % 2) to.close();
                        else to.error(new TypeError('network error'));
                    },
                });
                return new Response(body, answer);
            };
            const numbers = [];
            let lost = 0;
            window.later = follow({ id, onEvent: ({ id: number }) => numbers.push(number), onLost: () => { lost += 1; } })
                .then(() => ({ numbers, lost, asked }));
            return true;
        }"""
    )
    assert numbers
    (visit.folder / gate).touch()
    result = visit.page.evaluate("window.later")
    assert result["numbers"] == list(range(1, len(result["numbers"]) + 1))
    assert len(result["asked"]) >= 4 and result["lost"] >= 1
    assert int(result["asked"][-1]) > 0
    expect(visit.phase).to_have_text("Done")


def test_graphs_are_laid_out_in_layers_without_overlap(visit: Visit) -> None:
    wrong = visit.page.evaluate(
        """async () => {
            const { laidOut, layers } = await import('/web/graph.js');
            let seed = 7;
            const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
            const wrong = [];
            for (let trial = 0; trial < 300; trial += 1) {
                const steps = [];
                const count = 1 + Math.floor(random() * 12);
                for (let n = 1; n <= count; n += 1) {
                    const needs = [];
                    for (let k = 1; k < n; k += 1) if (random() < 0.25) needs.push(k);
                    steps.push({ number: n, tool: 't', call: 't()', needs, state: 'planned' });
                }
                const at = new Map(layers(steps, false).flatMap((layer, i) => layer.filter((item) => item.step).map((item) => [item.id, i])));
                if (at.size !== count) wrong.push(`${trial}: a step is missing`);
                for (const step of steps) for (const n of step.needs) if (at.get(n) >= at.get(step.number)) wrong.push(`${trial}: ${step.number} before ${n}`);
                for (const room of [320, 600, 5000]) {
                    const { nodes, width, height, edges } = laidOut(steps, room, true);
                    for (const [i, a] of nodes.entries()) {
                        if (a.x < 0 || a.y < 0 || a.x + a.width > width || a.y + a.height > height) wrong.push(`${trial}: outside`);
                        for (const b of nodes.slice(i + 1)) {
                            if (a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height) wrong.push(`${trial}: overlap`);
                        }
                    }
                    const ends = steps.filter((step) => !steps.some((other) => other.needs.includes(step.number))).length;
                    if (edges.length !== steps.reduce((sum, step) => sum + step.needs.length, 0) + ends) wrong.push(`${trial}: edges`);
                }
            }
            return wrong;
        }"""
    )
    assert wrong == []


# ── the whole, with the model ────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(adapter_path() is None, reason="this installation has no planner's adapter")
def test_a_request_in_plain_words(chromium: Browser, data_dir: Path, cache: Path, tmp_path: Path) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("[planner]\nthreads = 1\n")
    code = "from pipeline.cli import main; main()"
    env = {"TINYAGENT_CACHE": str(cache), "TINYAGENT_CONFIG": str(settings)}
    with service("-c", code, "serve", "--port", "0", "--data-dir", str(data_dir), **env) as url:
        for visit in visiting(chromium, url, data_dir):
            visit.page.set_default_timeout(4 * WAIT_MS)
            visit.page.goto(link(data_dir, url))
            visit.run("Text Priya that I'm ten minutes late")
            tools = visit.page.get_by_role("region", name="Tools")
            expect(tools.get_by_text("classifier")).to_have_count(2, timeout=4 * WAIT_MS)
            question = visit.page.get_by_role("group", name="Send this? send_sms")
            expect(question).to_contain_text("for “Priya”", timeout=4 * WAIT_MS)
            visit.accept()
            expect(visit.phase).to_have_text("Done")
            expect(visit.page.get_by_role("region", name="Prompt")).to_contain_text(re.compile(r"\d\d % fewer tokens"))
    assert list((data_dir / "messages" / "outbox").iterdir())
