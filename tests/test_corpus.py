"""The corpus: what is let into it, what its file holds, and what a check of it finds."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.spec import Catalogue

pytest.importorskip("faker")
pytest.importorskip("datasketch")

from training.checks import NEAR, Avoided, Likeness, triples, violations
from training.corpus import Collected, check, collect, generate
from training.examples import CorpusError, Example, Offer, read, write

OFFER = Offer(("create_reminder", "maps_show_directions", "send_sms"), {}, (), ())
SMS = Example("text Priya I'm late", '1. send_sms(["Priya"], "I\'m late")\n2. join()', OFFER, family="x1")


def test_a_sane_example(tools: Catalogue) -> None:
    assert violations(SMS, tools) == []
    assert violations(Example("how are you?", "1. join()", OFFER), tools) == []


@pytest.mark.parametrize(
    ("query", "plan", "kind"),
    [
        ("  ", "1. join()", "request"),
        ("text Priya I'm late", '1. send_sms(["Priya"], "I\'m late"', "syntax"),
        ("text Priya I'm late", '1. send_sms(["$2"], "late")\n2. send_sms(["Priya"], "late")\n3. join()', "syntax"),
        ("mail Priya", '1. compose_new_email(["Priya"], "hello")\n2. join()', "tool"),
        ("text Priya I'm late", '1. send_sms("late")\n2. join()', "call"),
        ("text Priya I'm late", '1. send_sms(["Priya"], "late", "now")\n2. join()', "call"),
        ("remind me to swim once it rains", '1. create_reminder("swim", due_date="once it rains")\n2. join()', "call"),
        ("text the link to Ana", '1. maps_show_directions("x")\n2. send_sms(["$1"], "here")\n3. join()', "call"),
        ("text Pria I'm late", '1. send_sms(["Priya"], "I\'m late")\n2. join()', "copy"),
        ("remind me to swim at noon", '1. create_reminder("swim", due_date="at 12")\n2. join()', "copy"),
        ("text Priya", '1. send_sms(["Priya"], "")\n2. join()', "empty"),
        (
            "text Priya hi and Priya hi",
            '1. send_sms(["Priya"], "hi")\n2. send_sms(["Priya"], "hi")\n3. join()',
            "twice",
        ),
    ],
)
def test_what_is_not_let_in(tools: Catalogue, query: str, plan: str, kind: str) -> None:
    assert [violation.partition(":")[0] for violation in violations(Example(query, plan, OFFER), tools)] == [kind]


def test_a_renamed_tool_is_called_by_its_new_name(tools: Catalogue) -> None:
    renamed = replace(OFFER, aliases={"send_sms": "text_message"})
    assert violations(replace(SMS, offer=renamed), tools)[0].startswith("tool: send_sms")
    assert not violations(replace(SMS, offer=renamed, plan=SMS.plan.replace("send_sms", "text_message")), tools)


def test_likeness_is_of_words_not_of_case_accents_or_punctuation() -> None:
    likeness = Likeness()
    assert likeness.add("Remind me to water the ferns in the hall tomorrow at nine") is None
    assert likeness.add("remind me to wáter the ferns, in the hall, tomorrow at nine!")
    assert likeness.add("Remind me to feed the cat in the garden tomorrow at nine") is None
    assert likeness.add("hi") is None
    assert likeness.add("Hi!") == "hi"


def test_hardly_a_near_duplicate_is_missed_at_the_threshold_itself() -> None:
    rng, likeness, found = random.Random(0), Likeness(), 0
    for _ in range(300):
        words = [f"w{rng.randrange(10**6)}" for _ in range(29)]
        one, other = " ".join(words), " ".join([*words[:14], "another", *words[15:]])
        assert len(triples(one) & triples(other)) == NEAR * len(triples(one) | triples(other))
        assert likeness.add(one) is None
        found += likeness.add(other) == one
    assert found >= 0.96 * 300


def test_every_request_to_be_avoided_is_remembered() -> None:
    words = "remind me to water the ferns in the hall tomorrow at nine and then call my old mother".split()
    one, other, another = (" ".join(words[begin : begin + 12]) for begin in (0, 3, 6))
    assert Avoided([one]).find(other) == one  # which is no reason to forget it:
    assert Avoided([one]).find(another) is None
    assert Avoided([one, other]).find(another) == other


def test_no_request_to_be_avoided_is_missed_at_the_threshold_itself() -> None:
    rng = random.Random(0)
    pairs = []
    for _ in range(300):
        words = [f"w{rng.randrange(10**6)}" for _ in range(11)]  # nine triples; one changed word leaves six of them
        pairs.append((" ".join(words), " ".join([*words[:2], "another", *words[3:]])))
        assert len(triples(pairs[-1][0]) & triples(pairs[-1][1])) == 6
    avoided = Avoided([one for one, _ in pairs])
    assert [avoided.find(other) for _, other in pairs] == [one for one, _ in pairs]


def test_a_request_to_be_avoided_is_found_inside_a_longer_one() -> None:
    avoided = Avoided(["text Priya that I'm ten minutes late", "open my note"])
    joined = "put lunch with Omar on Friday at noon into my calendar, open my note, then text Priya that I'm ten minutes late"
    assert (
        avoided.find(f"{joined}, and find the way from the station to the town hall on foot")
        == "text Priya that I'm ten minutes late"
    )
    assert avoided.find(joined.replace("minutes", "hours")) is None
    assert (
        avoided.find("add milk and bread to the shopping list and open my note") is None
    )  # so short that it is in many


def test_a_source_is_sifted(tools: Catalogue) -> None:
    source = [
        SMS,
        SMS,
        replace(SMS, query="Text Priya: I'm late"),
        replace(SMS, plan="send"),
        replace(SMS, query="please text Priya that I'm late again"),
    ]
    told: list[Collected] = []
    avoid = ["please text Priya that I'm late once again"]
    assert list(collect(source, tools, avoid=avoid, on_progress=told.append)) == [SMS]
    assert told[-1].left_out == {"exact": 1, "near": 1, "syntax": 1, "leak": 1}


def test_an_endless_source_with_nothing_new_is_left(tools: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.corpus.PATIENCE", 10)
    with pytest.raises(CorpusError, match="like earlier ones") as caught:
        list(collect([SMS] * 50, tools))
    assert "seeds" in str(caught.value.fix)


@pytest.fixture(scope="module")
def corpus(tools: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    assert write(generate({"train": 300, "validation": 20, "test": 40}, tools, seed=3), path) == 360
    return path


def test_a_generated_corpus_is_sound(tools: Catalogue, corpus: Path) -> None:
    report = check(corpus, tools)
    assert report.sound, report.samples
    assert report.splits == {"train": 300, "validation": 20, "test": 40}
    assert not report.violations
    assert report.exact == report.near == len(report.strayed) == 0
    assert len(report.families) > 200
    assert set(tools) - {"get_email_address", "get_phone_number"} <= set(report.tools)
    assert json.loads(json.dumps(report.facts()))["sound"]


def test_what_was_written_is_read_again(tools: Catalogue, corpus: Path, tmp_path: Path) -> None:
    examples = list(read(corpus))
    again = tmp_path / "again.jsonl"
    write(examples, again)
    assert again.read_bytes() == corpus.read_bytes()
    invented = next(example for example in examples if example.offer.invented)
    assert invented.offer.invented[0].name in invented.prompt(tools)


def test_a_check_finds_what_is_wrong(tools: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    late = replace(SMS, query="text Priya I'm late for the very long meeting", split="test")
    write([SMS, SMS, replace(SMS, plan="1. join(", query="a b c"), late], path)
    report = check(path, tools, avoid=["tell Priya I'm late for the very long meeting"])
    assert not report.sound
    assert (report.exact, report.violations["syntax"], len(report.leaks), report.strayed) == (1, 1, 1, {"x1"})
    assert report.samples[0].startswith("line 3: syntax")


def test_a_line_that_is_no_example_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"query": "hi", "plan": "1. join()", "tools": []}\n{"query": "hi"}\n')
    with pytest.raises(CorpusError, match=r"bad\.jsonl:2"):
        list(read(path))
    with pytest.raises(CorpusError, match="cannot be read"):
        list(read(tmp_path / "none.jsonl"))


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    def broken() -> object:
        yield SMS
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(broken(), tmp_path / "c.jsonl")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
