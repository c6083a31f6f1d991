"""`seqvae score` of texts: plain, with known texts, and with their labels."""

import json
from pathlib import Path

import pytest

from seqvae import cli_tasks
from seqvae.errors import UserError
from seqvae.tasks.text_model import TextModel

KNOWN = [f"the {a} {b} sat" for a in ("red", "big", "old") for b in ("cat", "dog", "fox", "pig")]
TEXT = "the red roof"


@pytest.fixture(autouse=True)
def load(text_model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_tasks, "load_text", lambda *_, **__: text_model)


def test_odd_is_told_by_known_texts(
    text_model: TextModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, labelled = tmp_path / "plain.txt", tmp_path / "labelled.tsv"
    labels = [text.split()[1] for text in KNOWN]
    plain.write_text("\n".join(KNOWN))
    labelled.write_text("".join(f"{t}\t{c}\n" for t, c in zip(KNOWN, labels, strict=True)))
    scores = text_model.score([TEXT], samples=3)
    for path, given in ((plain, None), (labelled, labels)):
        asked = ["run", TEXT, "--samples", "3", "--known", str(path)]
        cli_tasks.score([*asked, "--json-lines"])
        wanted = text_model.reference(KNOWN, given).oddity(scores)[0]
        assert json.loads(capsys.readouterr().out)["odd"] == pytest.approx(wanted, rel=1e-4)
        cli_tasks.score(asked)
        assert f"odd {wanted:6.2f}" in capsys.readouterr().out
    cli_tasks.score(["run", TEXT, "--samples", "3", "--json-lines"])
    assert "odd" not in json.loads(capsys.readouterr().out)
    with pytest.raises(UserError, match="gone: not a file of texts"):
        cli_tasks.score(["run", TEXT, "--known", str(tmp_path / "gone")])
