"""No prompt is in two splits, no speaker loses all, and what is asked for is held out."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.speech.held_out import Candidate, assign_splits, prompts_of
from seqvae.data.speech.settings import PrepareSpeech
from seqvae.errors import UserError


def config(**options: Any) -> PrepareSpeech:  # noqa: ANN401
    return PrepareSpeech(inputs=("in",), out=Path("out"), **options)


def candidates(
    speakers: int = 2, prompts: int = 40, *, texts: bool = True, same_files: bool = True
) -> list[Candidate]:
    found = []
    for s in range(speakers):
        for p in range(prompts):
            stem = f"a{p:04d}" if same_files else f"s{s}_{p:04d}"
            text = f"Sentence number {p}." if texts else ""
            found.append(Candidate(f"s{s}", f"s{s}/{stem}.wav", stem, text, False))
    return found


def assign(found: list[Candidate], **options: Any) -> list[str]:  # noqa: ANN401
    return assign_splits(found, config(**options), lambda notice: None)


def by_prompt(found: list[Candidate], splits: list[str], **options: Any) -> dict[str, set[str]]:  # noqa: ANN401
    places: dict[str, set[str]] = {}
    for key, split in zip(prompts_of(found, config(**options)), splits, strict=True):
        places.setdefault(key, set()).add(split)
    return places


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("quotas", [(0.1, 0.2), (4, 8)])
def test_prompts_are_held_out_for_all_speakers(texts: bool, quotas: tuple[float, float]) -> None:
    found = candidates(3, texts=texts)
    splits = assign(found, valid=quotas[0], test=quotas[1])
    assert Counter(splits) == {"train": 84, "valid": 12, "test": 24}
    assert all(len(places) == 1 for places in by_prompt(found, splits).values())


def test_the_choice_is_the_seeds_and_does_not_depend_on_the_rest() -> None:
    few, many = candidates(2), candidates(5)
    first = {c.stem for c, s in zip(few, assign(few, test=8), strict=True) if s == "test"}
    again = {c.stem for c, s in zip(many, assign(many, test=8), strict=True) if s == "test"}
    other = {c.stem for c, s in zip(few, assign(few, test=8, seed=1), strict=True) if s == "test"}
    assert first == again != other
    assert assign(few, test=8) == assign(few, test=8)


def test_the_same_text_in_other_words_of_punctuation() -> None:
    texts = ["It's late, isn't it?", "its late", "IT'S LATE ISN'T IT", "", ""]
    found = [Candidate("s", f"{i}.wav", str(i), text, False) for i, text in enumerate(texts)]
    keys = prompts_of(found, config())
    assert keys[0] == keys[2] != keys[1]
    assert len(set(keys)) == 4, "those without a text stand alone"


def test_groups() -> None:
    both = [Candidate(s, f"{s}/a.wav", "a", "", False) for s in ("x", "y")]
    one = [Candidate("x", f"{f}/a.wav", "a", "", False) for f in ("x", "y")]
    cut = [Candidate("x", f"a#{i}.wav", "a", "text", True) for i in (1, 2)]
    kinds = {name: [len(set(prompts_of(f, config(group=name)))) for f in (both, one, cut)]
             for name in ("auto", "text", "file", "recording")}  # fmt: skip
    assert kinds == {
        "auto": [1, 2, 2],
        "text": [2, 2, 1],
        "file": [1, 1, 1],
        "recording": [2, 2, 2],
    }


def test_named_prompts(tmp_path: Path) -> None:
    found = candidates(2)
    splits = assign(found, test_prompts=("a000[0-4]", "Sentence number 39."), valid=0)
    assert {c.stem for c, s in zip(found, splits, strict=True) if s == "test"} == {
        *(f"a000{i}" for i in range(5)),
        "a0039",
    }
    assert set(splits) == {"train", "test"}, "named prompts replace the drawn ones"
    listed = tmp_path / "prompts.txt"
    listed.write_text("a0001\n\ns1/a0002.wav\n")
    splits = assign(found, valid_prompts=(str(listed),), test=3)
    assert Counter(splits) == {"train": 70, "valid": 4, "test": 6}
    with pytest.raises(UserError, match="--test-prompts: no recording 'b0001'; names are like"):
        assign(found, test_prompts=("b0001",))
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not a readable list of names"):
        assign(found, test_prompts=(str(tmp_path / "bad.txt"),))


def test_named_and_drawn_speakers() -> None:
    found = candidates(5)
    splits = assign(found, test_speakers=("s0", "s[12]"), valid=2, test=0)
    assert {c.speaker for c, s in zip(found, splits, strict=True) if s == "test"} == {
        "s0",
        "s1",
        "s2",
    }
    # Many recordings of two speakers, one each of ten: those are drawn.
    found += [Candidate(f"t{i}", f"t{i}/x{i}.wav", f"x{i}", "", False) for i in range(10)]
    splits = assign(found, test_speaker_count=3, valid=2, test=0)
    drawn = {c.speaker for c, s in zip(found, splits, strict=True) if s == "test"}
    assert len(drawn) == 3 and all(name.startswith("t") for name in drawn)
    with pytest.raises(UserError, match="--test-speakers: no speaker 'zoe'; there are s0, s1"):
        assign(found, test_speakers=("zoe",))
    with pytest.raises(UserError, match="15 of 15 speakers leaves none"):
        assign(found, test_speaker_count=15)


def test_a_speaker_with_one_clip_stays_in_training() -> None:
    found = [*candidates(2, 10), Candidate("solo", "solo/a0003.wav", "a0003", "", False)]
    found += [Candidate("mono", "mono/z.wav", "z", "", False)]
    for seed in range(20):
        splits = assign(found, valid=3, test=3, seed=seed)
        assert splits[-2:] == ["train", "train"]


def test_too_few() -> None:
    alone = [Candidate(f"s{i}", f"s{i}/{i}.wav", str(i), "", False) for i in range(5)]
    with pytest.raises(UserError, match="5 of 5 speakers leave nothing for valid and test"):
        assign(alone)
    assert set(assign(alone, valid=0, test=0)) == {"train"}
    assert Counter(assign(alone, valid=0, test_speaker_count=2, test=0))["test"] == 2
    with pytest.raises(UserError, match="--test: 30 prompts are more than half of the 40"):
        assign(candidates(2), test=30)
    with pytest.raises(UserError, match="leave nothing for train"):
        assign(candidates(2, 2), test_prompts=("*",), valid=0)


def test_a_voice_of_which_all_is_held_out_is_told() -> None:
    notices: list[str] = []
    found = [*candidates(2), Candidate("solo", "solo/x.wav", "x", "", False)]
    assign_splits(found, config(test_prompts=("x",), valid=2), notices.append)
    assert notices == ["solo: every prompt is held out; this voice is not learnt"]


@given(
    data=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans()), min_size=1, max_size=60
    ),
    quotas=st.sampled_from([(0.05, 0.05), (0.2, 0.3), (1, 2), (0, 0), (0.5, 0.5)]),
    seed=st.integers(0, 99),
)
def test_laws(data: list[tuple[int, int, bool]], quotas: tuple[float, float], seed: int) -> None:
    found = [
        Candidate(f"s{s}", f"s{s}/{p}-{i}.wav", f"{p}-{i}", f"text {p}" if known else "", False)
        for i, (s, p, known) in enumerate(data)
    ]
    try:
        splits = assign(found, valid=quotas[0], test=quotas[1], seed=seed)
    except UserError as error:
        assert "too few recordings" in str(error) or "more than half" in str(error)
        return
    assert all(len(places) == 1 for places in by_prompt(found, splits).values())
    learnt = {c.speaker for c, s in zip(found, splits, strict=True) if s == "train"}
    assert learnt == {c.speaker for c in found}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid": 0.7}, "--valid: 0.7 is neither a share up to 0.5"),
        ({"test": 2.5}, "--test: 2.5 is neither"),
        ({"test": -1}, "--test: -1 is not between"),
        ({"max_seconds": 0.1}, "--max-seconds: 0.1 is not between 1 and 600"),
        ({"min_seconds": 40.0}, "--min-seconds: 40 is not between 0.02 and 30"),
        ({"max_clipped": 2.0}, "--max-clipped"),
        ({"workers": -1}, "--workers"),
    ],
)
def test_impossible_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config(**options)


def test_a_speaker_with_one_recording_keeps_it_and_hinders_nobody() -> None:
    found = [*candidates(2, 12), Candidate("solo", "solo/only.wav", "only", "", False)]
    splits = assign(found)
    assert splits[-1] == "train"
    assert Counter(splits) == {"train": 21, "valid": 2, "test": 2}
