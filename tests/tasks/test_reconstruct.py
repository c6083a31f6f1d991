from seqvae.tasks.decode import Decoding, generate
from seqvae.tasks.text_model import TextModel

TEXTS = ["the red cat", "the old fox sat on", ""]


def test_it_decodes_the_posterior_mean(text_model: TextModel) -> None:
    for decoding in (Decoding(), Decoding(strategy="beam", beam_size=2)):
        mean = text_model.encode(TEXTS).mean
        ids = generate(text_model.model, mean, decoding).ids
        wanted = [text_model.tokenizer.decode(row) for row in ids]
        assert text_model.reconstruct(TEXTS, decoding) == wanted
