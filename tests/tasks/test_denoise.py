from seqvae.data.text import BLANK
from seqvae.tasks.text_model import TextModel


def test_without_blanks_it_reads_the_text_as_it_is(text_model: TextModel) -> None:
    texts = ["the rde cat", "old", ""]
    assert text_model.denoise(texts) == text_model.reconstruct(texts)


def test_a_blank_is_one_token(text_model: TextModel) -> None:
    encode = text_model.tokenizer.encode
    (ids,) = text_model.read(["the <blank> cat<blank>"], blanks=True)
    assert ids == [*encode("the "), BLANK, *encode(" cat"), BLANK]
    assert BLANK not in text_model.read(["the <blank> cat"])[0]
    mean = text_model.posterior([ids]).mean
    assert text_model.denoise(["the <blank> cat<blank>"]) == text_model.decode(mean)
