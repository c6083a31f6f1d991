"""What comes in parts is, joined, what comes at once."""

import threading

import numpy as np
import pytest

from seqvae.data.text import EOS, Tokenizer
from seqvae.errors import UserError
from seqvae.serving.core import Core
from seqvae.serving.engine import Engine
from seqvae.serving.options import Options, Row
from seqvae.serving.streaming import byte_of, unsettled
from tests.serving.conftest import graphs_of

TEXTS = ["the red cat sat on the mat", "日本 😀", ""]
WAYS = [
    Options(max_length=30),
    Options(temperature=1.1, seed=3, sample=2, max_length=40),
    Options(temperature=0.8, top_k=40, seed=1, max_length=25, noise_scale=0.0),
    Options(temperature=1.4, top_p=0.7, seed=8, max_length=25),
    Options(beam=True, max_length=6),
    Options(max_length=1),
]


@pytest.mark.parametrize("options", WAYS, ids=range(len(WAYS)))
@pytest.mark.parametrize("text", TEXTS)
def test_the_parts_are_the_text(engine: Engine, text: str, options: Options) -> None:
    (whole,) = engine.generate([Row(text, options)])
    parts = list(engine.stream(Row(text, options)))
    assert "".join(parts) == whole.text
    assert all(parts)


def test_noise_of_ones_own(engine: Engine) -> None:
    row = Row(TEXTS[0], Options(max_length=20), np.array([1, -2, 0.5, 3], np.float32))
    assert "".join(engine.stream(row)) == engine.generate([row])[0].text


def test_it_is_written_as_it_is_read(engine: Engine) -> None:
    """The first part comes before the second is computed; leaving early is no trouble."""
    graphs = graphs_of(engine)
    graphs.calls.clear()
    stream = engine.stream(Row(TEXTS[0], Options(max_length=60)))
    next(stream)
    begun = [part for part, _ in graphs.calls].count("step")
    next(stream)
    assert 1 <= begun < [part for part, _ in graphs.calls].count("step")
    del stream


def test_streams_side_by_side(engine: Engine) -> None:
    rows = [Row(TEXTS[0], Options(temperature=1.0, sample=k, max_length=15)) for k in range(4)]
    wanted = ["".join(engine.stream(row)) for row in rows]
    found: dict[int, str] = {}

    def read(k: int) -> None:
        found[k] = "".join(engine.stream(rows[k]))

    workers = [threading.Thread(target=read, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[k] for k in range(4)] == wanted and len(set(wanted)) > 1


def test_a_long_text_is_refused_before_anything_is_written(engine: Engine) -> None:
    with pytest.raises(UserError, match="item 0"):
        next(engine.stream(Row("cat " * 200)))


SENTENCE = "a日é😀b"


def test_characters_of_several_bytes_come_whole(tokenizer: Tokenizer, engine: Engine) -> None:
    pieces = engine.bundle.pieces
    ids = tokenizer.encode(SENTENCE)
    assert sum(byte_of(pieces[i]) is not None for i in ids) >= 9
    shown = ""
    for n in range(1, len(ids) + 1):
        settled = ids[: n - unsettled(ids[:n], pieces)]
        text = tokenizer.decode(settled)
        assert text.startswith(shown) and "\ufffd" not in text
        shown = text
    assert shown == SENTENCE


def spell(values: str) -> tuple[list[int], list[str]]:
    """Ids and pieces: hexadecimal bytes, or letters."""
    pieces = [f"<0x{v}>" if len(v) == 2 else v for v in values.split()]
    return list(range(len(pieces))), pieces


@pytest.mark.parametrize(
    ("values", "waiting"),
    [
        ("a b c", 0),
        ("E6", 1),
        ("E6 97", 2),
        ("E6 97 A5", 0),
        ("F0 9F 98", 3),
        ("F0 9F 98 80", 0),
        ("C3", 1),
        ("C3 A9 E6", 1),
        ("E6 a", 0),  # what follows is no byte: it will never be complete
        ("E6 E6", 1),  # the first is broken, the second may become something
        ("97 97", 0),  # not the beginning of anything
        ("FF", 0),
        ("C0", 0),
        ("F5 80", 0),
    ],
)
def test_what_is_held_back(values: str, waiting: int) -> None:
    assert unsettled(*spell(values)) == waiting


def test_broken_bytes_come_in_the_end(engine: Engine, tokenizer: Tokenizer) -> None:
    """Whatever bytes come, the parts join to what the tokenizer makes of the whole."""
    pieces = engine.bundle.pieces
    first = pieces.index("<0x00>")
    random = np.random.default_rng(0)
    core: Core = engine._core
    for _ in range(200):
        pool = [first + b for b in (0xE6, 0x97, 0xA5, 0xF0, 0x9F, 0x80, 0xC3, 0xFF, 0x41)]
        ids = random.choice([*pool, len(pieces) - 1], size=8).tolist()
        assert EOS not in ids
        shown = ""
        for n in range(1, len(ids) + 1):
            text = core.texts.decode([ids[: n - unsettled(ids[:n], pieces)]])[0]
            assert text.startswith(shown)
            shown = text
        assert tokenizer.decode(ids).startswith(shown)
