"""Text to train on."""

from pathlib import Path
from typing import Any, final

from torch import nn

from seqvae.batch import Batch
from seqvae.config import Experiment
from seqvae.data.corpus import TOKENIZER, Corpus
from seqvae.data.loader import Loader
from seqvae.data.noise import corrupt
from seqvae.data.storage import LongArray
from seqvae.errors import UserError
from seqvae.latent_model import LatentModel
from seqvae.model import SequenceVAE
from seqvae.objectives import LevelRates
from seqvae.objectives.pairs import check_processes
from seqvae.objectives.refine import check_refined_run
from seqvae.training.distributed import Process
from seqvae.training.guard import CollapseGuard, Guard, Mode
from seqvae.training.material import Material, step_generator
from seqvae.training.text_validation import TextValidation
from seqvae.training.validation import Validation


@final
class TextMaterial(Material):
    """A corpus of `seqvae prepare text`.

    Args:
        experiment: the run.
        process: this process among all that train.

    Raises:
        UserError: not such a corpus, its sequences do not fit the settings, or they are of speech.
    """

    unit = "tokens"
    bfloat16_on_cpu = False
    bad_batch_advice = "look for broken text there"

    def __init__(self, experiment: Experiment, process: Process) -> None:
        self.experiment, self.config, self.networks = (
            experiment,
            experiment.training,
            experiment.text,
        )
        if isinstance(experiment.objective, LevelRates):
            raise UserError(
                "the objective level-rates is for speech; for text use rate-target (--rate NATS)"
            )
        check_processes(experiment.objective, self.networks.prior, process.world)
        self.corpus = Corpus.open(experiment.data)
        self.path, self.fingerprint = self.corpus.path, self.corpus.fingerprint
        self.rank, self.world, self.device = process.rank, process.world, process.device
        self.pairs = self.corpus.has_pairs
        others = {
            "--latent none": experiment.latent == "none",
            "--noise": self.config.noise.is_active,
            "--compile": self.config.compile,
            "--model.conditional": self.networks.conditional,
            f"the pairs in {experiment.data}": self.pairs,
        }
        check_refined_run(self.networks.refine, others)
        self.loader = Loader(
            self.corpus.split("train"),
            tokens_per_batch=self.config.tokens_per_batch,
            seed=experiment.seed,
            rank=self.rank,
            world=self.world,
            max_length=self.networks.max_length,
            pairs=self.pairs,
        )

    def facts(self) -> dict[str, Any]:
        """See `Material.facts`."""
        return {
            "labels": self.corpus.labels,
            "attributes": [one.to_json() for one in self.corpus.attributes],
            "pairs": self.pairs,
        }

    def furnish(self, run: Path) -> None:
        """See `Material.furnish`."""
        (run / TOKENIZER).write_bytes(self.corpus.tokenizer.model)

    def build(self) -> SequenceVAE:
        """See `Material.build`."""
        pieces = self.corpus.tokenizer.vocab_size
        return self.networks.build(
            pieces,
            latent=self.experiment.latent == "vae",
            labels=len(self.corpus.labels),
            attributes=self.corpus.attributes,
        )

    def fresh_decoder(self, model: LatentModel) -> nn.Module:
        """See `Material.fresh_decoder`."""
        dimension = model.latent.dimension if model.latent else None
        return self.networks.build_decoder(dimension)

    @property
    def sequences(self) -> int:
        """See `Material.sequences`."""
        return len(self.corpus.split("train"))

    @property
    def batches_per_epoch(self) -> int:
        """See `Material.batches_per_epoch`."""
        return self.loader.steps_per_epoch

    @property
    def values_per_batch(self) -> float:
        """See `Material.values_per_batch`: tokens, end tokens among them."""
        store = self.loader.store
        lengths = store.target_lengths if self.pairs else store.lengths
        assert lengths is not None
        average = float(lengths.mean()) + 1.0
        return average * (len(lengths) / (self.loader.steps_per_epoch * self.world))

    def validate_every(self, total: int, epoch: int) -> int:
        """See `Material.validate_every`: once an epoch, and at least 5 times."""
        return max(1, min(epoch, total // 5))

    def next_batch(self, step: int, part: int) -> tuple[Batch, LongArray]:
        """See `Material.next_batch`; corrupted where the run says so."""
        raw = self.loader.next_batch()
        batch = Batch.from_raw(raw)
        if self.config.noise.is_active:
            values, lengths = corrupt(
                batch.encoder_values.numpy(),
                batch.encoder_lengths.numpy(),
                self.config.noise,
                self.corpus.tokenizer.vocab_size,
                step_generator(self.experiment.seed, step, self.rank, part),
            )
            batch = batch.with_source(values, lengths)
        return batch, raw.indices

    def count(self, batch: Batch) -> int:
        """See `Material.count`."""
        return int(batch.predicted_tokens)

    def headline(self, shown: dict[str, float]) -> dict[str, float]:
        """See `Material.headline`."""
        return {name: shown[name] for name in ("reconstruction", "kl", "beta") if name in shown}

    def describe(self, indices: LongArray) -> dict[str, Any]:
        """See `Material.describe`."""
        store, tokenizer = self.loader.store, self.corpus.tokenizer
        return {"texts": [tokenizer.decode(store.tokens(int(i)).tolist()) for i in indices]}

    def validation(self) -> Validation:
        """See `Material.validation`."""
        longest = self.networks.max_length
        return TextValidation(
            self.corpus.split("valid"),
            limit=self.config.validate_sequences,
            tokens_per_batch=max(self.config.tokens_per_batch, 2 * longest),
            max_length=longest,
            pairs=self.pairs,
            device=self.device,
            aggregate=self.experiment.objective.build().aggregate,
        )

    def guard(self, mode: Mode) -> Guard:
        """See `Material.guard`."""
        return CollapseGuard(mode, aggregate=self.experiment.objective.build().aggregate)

    def finish(self, run: Path) -> None:
        """See `Material.finish`; a text run is whole without its corpus."""

    def state(self) -> dict[str, Any]:
        """See `Material.state`."""
        return self.loader.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """See `Material.load_state`."""
        self.loader.load_state(state)
