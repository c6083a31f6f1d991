"""`prepare molecules`: SMILES and SELFIES in, tokens that are atoms out."""

import json
import sys
from pathlib import Path

import pytest

from seqvae.data.corpus import Corpus
from seqvae.data.smiles import (
    notation_of,
    to_notation,
    to_smiles,
    tokens,
    train_molecule_tokenizer,
)
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
MOLECULES = [
    ASPIRIN,
    "CCO",
    "c1ccccc1Br",
    "ClCCl",
    "C[C@H](N)C(=O)O",
    "[Na+].[Cl-]",
    "C1CC%12CC1C%12",
]


def test_a_token_is_an_atom_a_bond_a_branch_or_a_ring() -> None:
    assert tokens("ClC[C@@H](Br)C%12=O") == [
        *("Cl", "C", "[C@@H]", "(", "Br", ")", "C", "%12", "=", "O"),
    ]
    assert tokens("[C][=O].[N]", "selfies") == ["[C]", "[=O]", ".", "[N]"]
    with pytest.raises(ValueError, match="not written in smiles"):
        tokens("CX")


def test_every_smiles_comes_back_and_known_ones_take_a_piece_a_token() -> None:
    tokenizer = Tokenizer(train_molecule_tokenizer(MOLECULES))
    for text in MOLECULES:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert len(ids) == len(tokens(text))
    # An atom that was never seen is spelled.
    assert tokenizer.decode(tokenizer.encode("C[Se]C")) == "C[Se]C"
    assert notation_of(tokenizer) == "smiles"
    assert train_molecule_tokenizer(MOLECULES) == train_molecule_tokenizer(MOLECULES)


def test_merged_tokens_are_fewer_and_spell_every_molecule() -> None:
    tokenizer = Tokenizer(train_molecule_tokenizer(MOLECULES * 20, vocab_size=50))
    assert notation_of(tokenizer) == "smiles"
    for text in [*MOLECULES, "C[Se]C", "C/C=C\\C#N"]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(ASPIRIN)) < len(tokens(ASPIRIN)) / 2
    with pytest.raises(UserError, match=r"--vocab-size is 1\d too small"):
        train_molecule_tokenizer(MOLECULES, vocab_size=5)


def test_merged_pieces_are_whole_tokens() -> None:
    pytest.importorskip("selfies")
    texts = [text for text in (to_notation(one, "selfies") for one in MOLECULES) if text]
    tokenizer = Tokenizer(train_molecule_tokenizer(texts * 20, "selfies", vocab_size=120))
    assert notation_of(tokenizer) == "selfies"
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    long = [p for p in tokenizer.pieces(range(tokenizer.vocab_size)) if p.count("[") > 1]
    assert len(long) >= 10
    assert all("".join(tokens(piece, "selfies")) == piece for piece in long)


def test_no_molecules_make_no_tokenizer() -> None:
    with pytest.raises(UserError, match="no molecules"):
        train_molecule_tokenizer([])


def test_without_rdkit_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqvae.data.chemistry import chem
    from seqvae.data.molecules import PrepareMolecules, prepare_molecules

    monkeypatch.setitem(sys.modules, "rdkit", None)
    chem.cache_clear()
    with pytest.raises(UserError, match=r"seqvae\[molecules\]"):
        prepare_molecules(PrepareMolecules((str(tmp_path / "a.smi"),), tmp_path / "out"))


def test_without_moses_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqvae.data import moses

    monkeypatch.setattr(moses, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="molsets"):
        moses.moses_file("train")


def _written(folder: Path, extra: str = "") -> Path:
    # Chains and branched chains: as many different molecules as wanted.
    chains = [
        "C" * i + bond + "C" * j + end
        for i in range(1, 8)
        for j in range(1, 8)
        for bond in ("", "N", "O")
        for end in ("O", "F")
    ]
    path = folder / "made.smi"
    path.write_text("\n".join([*chains, extra]) + "\n", encoding="utf-8")
    return path


def test_what_is_no_molecule_is_counted_and_listed(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from seqvae.data.molecules import PrepareMolecules, prepare_molecules

    path = _written(tmp_path, "OCC named\nC1CC\nxyz\nC(C)(C)(C)(C)C\n")
    said: list[str] = []
    config = PrepareMolecules((str(path),), tmp_path / "corpus")
    corpus = prepare_molecules(config, said.append)
    record = json.loads((corpus.path / "molecules.json").read_text())
    assert record["skipped"]["not a molecule"] == 3
    lines = (corpus.path / "skipped_molecules.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert "C1CC" in {entry["text"] for entry in listed}
    texts = {
        corpus.tokenizer.decode(corpus.split(name).tokens(i))
        for name in corpus.meta["splits"]
        for i in range(len(corpus.split(name)))
    }
    # Respelled, the name cut off, and one molecule once: OCC is CCO.
    assert "CCO" in texts and "OCC" not in texts
    assert len(texts) == sum(len(corpus.split(name)) for name in corpus.meta["splits"])
    said.clear()
    assert prepare_molecules(config, said.append).path == corpus.path
    assert "already prepared" in said[0]
    assert Corpus.open(corpus.path).tokenizer.vocab_size == corpus.tokenizer.vocab_size


def test_selfies_and_back(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("selfies")
    from seqvae.data.chemistry import canonical
    from seqvae.data.molecules import PrepareMolecules, prepare_molecules

    line = to_notation(ASPIRIN, "selfies")
    assert line is not None and line.startswith("[C]")
    assert canonical(to_smiles([line], "selfies")[0]) == canonical(ASPIRIN)
    assert to_smiles(["[nonsense"], "selfies") == [""]
    config = PrepareMolecules((str(_written(tmp_path)),), tmp_path / "corpus", notation="selfies")
    assert notation_of(prepare_molecules(config).tokenizer) == "selfies"


def test_properties_are_what_a_model_is_told(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from seqvae.data.chemistry import molecule
    from seqvae.data.molecules import PrepareMolecules, prepare_molecules
    from seqvae.data.properties import logp, weight

    config = PrepareMolecules(
        (str(_written(tmp_path)),), tmp_path / "corpus", properties=("logp", "weight")
    )
    corpus = prepare_molecules(config)
    assert [one.name for one in corpus.attributes] == ["logp", "weight"]
    assert all(one.is_number for one in corpus.attributes)
    store = corpus.split("train")
    assert store.attributes is not None
    for row in range(len(store)):
        mol = molecule(corpus.tokenizer.decode(store.tokens(row).tolist()))
        assert store.attributes[row].tolist() == pytest.approx([logp(mol), weight(mol)], rel=1e-5)
    plain = prepare_molecules(PrepareMolecules(config.inputs, tmp_path / "plain"))
    assert plain.tokenizer.model == corpus.tokenizer.model
    assert len(plain.split("train")) == len(store)
