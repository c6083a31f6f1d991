from dataclasses import replace

import pytest
import torch

from seqvae.batch import Batch
from seqvae.config import Experiment, Model, preset
from seqvae.data.text import PAD
from seqvae.latent import LEVEL
from tests.tiny import LATENT, tiny_batch, tiny_model

SEED = torch.tensor([7])


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_terms_have_their_shapes(decoder: str) -> None:
    model, batch = tiny_model(decoder), tiny_batch(5)
    one, three = model(batch, SEED), model(batch, SEED, 3)
    assert one.reconstruction.shape == (1, 5)
    assert three.reconstruction.shape == (3, 5)
    assert one.kl_dimensions[LEVEL].shape == (5, LATENT)
    assert one.log_ratio is None
    assert three.log_ratio is not None
    assert three.log_ratio.shape == (3, 5)
    assert one.kl.dtype == one.reconstruction.dtype == torch.float32


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
@pytest.mark.parametrize("latent", [True, False])
def test_padding_changes_nothing(decoder: str, latent: bool) -> None:
    model, batch = tiny_model(decoder, latent), tiny_batch(5)
    wider = torch.nn.functional.pad(batch.values, (0, 4), value=PAD)
    padded = Batch(wider, batch.lengths)
    torch.testing.assert_close(
        model(padded, SEED).reconstruction, model(batch, SEED).reconstruction
    )
    torch.testing.assert_close(model(padded, SEED).kl, model(batch, SEED).kl)


@pytest.mark.parametrize("decoder", ["transformer", "gru"])
def test_order_of_sequences_changes_no_likelihood(decoder: str) -> None:
    model, batch = tiny_model(decoder), tiny_batch(6)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    z = torch.randn(2, 6, LATENT, generator=torch.Generator().manual_seed(0))
    shuffled = Batch(batch.values[order], batch.lengths[order])
    torch.testing.assert_close(
        model.reconstruction(shuffled, z[:, order]), model.reconstruction(batch, z)[:, order]
    )


def test_z_matters_and_the_seed_fixes_it() -> None:
    model, batch = tiny_model(), tiny_batch(5)
    first = model(batch, SEED).reconstruction
    torch.testing.assert_close(model(batch, SEED).reconstruction, first, rtol=0, atol=0)
    assert not torch.allclose(model(batch, SEED + 1).reconstruction, first)


def test_gradients_reach_every_weight() -> None:
    model, batch = tiny_model(), tiny_batch(5)
    terms = model(batch, SEED)
    (terms.reconstruction.mean() + terms.kl.mean()).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_word_dropout_blanks_in_training_alone_and_never_the_start() -> None:
    model, batch = tiny_model(), tiny_batch(5)
    z = torch.zeros(5, LATENT)
    model.word_dropout = 1.0
    plain = model.decode(batch.values, z)
    model.train()
    for module in model.decoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    blanked = model.decode(batch.values, z)
    torch.testing.assert_close(blanked[:, 0], plain[:, 0])
    assert not torch.allclose(blanked[:, 1:], plain[:, 1:])


def test_without_a_latent_there_is_nothing_to_encode() -> None:
    model, batch = tiny_model(latent=False), tiny_batch(5)
    terms = model(batch, SEED)
    assert not terms.kl_dimensions
    assert not terms.kl.any()
    with pytest.raises(ValueError, match="no latent"):
        model.encode(batch)


def test_the_encoder_reads_the_source_and_the_decoder_writes_the_values() -> None:
    model, batch, other = tiny_model(), tiny_batch(5), tiny_batch(5, seed=1)
    pair = replace(batch, source=other.values, source_lengths=other.lengths)
    torch.testing.assert_close(model.encode(pair).mean, model.encode(other).mean)
    z = torch.zeros(1, 5, LATENT)
    torch.testing.assert_close(model.reconstruction(pair, z), model.reconstruction(batch, z))


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_a_language_model_is_the_same_decoder_alone(name: str) -> None:
    experiment: Experiment = preset(name)  # type: ignore[arg-type]
    vae = experiment.text.build(100).state_dict()
    alone = experiment.text.build(100, latent=False).state_dict()
    assert {key: value.shape for key, value in alone.items()}.items() <= {
        key: value.shape for key, value in vae.items()
    }.items()
    extra = {key.split(".")[0] for key in vae.keys() - alone.keys()}
    assert extra == {"latent", "decoder"}


@pytest.mark.parametrize("shared", [True, False])
def test_an_encoder_with_its_own_embedding_does_not_move_with_the_decoder(shared: bool) -> None:
    torch.manual_seed(0)
    model = Model(share_embedding=shared).build(50).eval()
    batch = Batch(torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]]), torch.tensor([4, 3]))
    before = model.encode(batch).mean
    with torch.no_grad():
        model.likelihood.get_parameter("embedding.weight").normal_()
    assert torch.equal(before, model.encode(batch).mean) is not shared
