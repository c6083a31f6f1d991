"""Parts of a run that are trained otherwise: autoencoder first, aggressive encoder, tight end."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_

from seqvae.config import Training
from seqvae.latent_model import LatentModel
from seqvae.objectives import Elbo, Importance, Objective
from seqvae.schedules import Constant

if TYPE_CHECKING:
    from seqvae.training.trainer import Trainer


class Phases:
    """Which phase a run is in, and what a change of phase does.

    Args:
        config: the run's training settings.
        model: what is trained.
    """

    def __init__(self, config: Training, model: LatentModel) -> None:
        self.config, self.model = config, model
        active = bool(model.levels)
        self.autoencoder_until = config.autoencoder if active else 0.0
        self.tight_from = 1.0 - config.tighten if active and config.tighten else 2.0
        self.aggressive = active and config.aggressive > 0
        self.decoder_reset = False
        self.frozen = False
        self.best_mi = 0.0
        self._plain = Elbo(Constant(0.0)).build()
        self._tight = Importance(config.tighten_samples, "naive").build()

    def overrides(self, progress: float) -> bool:
        """Whether a phase has taken the objective's place."""
        return self.objective(progress) is not None

    def objective(self, progress: float) -> Objective | None:
        """The phase's own objective, or None for the run's."""
        if progress < self.autoencoder_until:
            return self._plain
        return self._tight if progress >= self.tight_from else None

    def enter(self, progress: float, trainer: "Trainer") -> None:
        """Do what the beginning of a phase asks for."""
        ended = self.autoencoder_until and progress >= self.autoencoder_until
        if ended and self.config.reset_decoder and not self.decoder_reset:
            self._reset_decoder(trainer)
        if progress >= self.tight_from and not self.frozen:
            self._freeze()
            trainer.wrap()

    def before_step(self, trainer: "Trainer") -> None:
        """Aggressive training: first let the encoder catch up with the decoder (He et al. 2019)."""
        if not self.aggressive or self.overrides(trainer.progress):
            return
        levels = self.model.levels.values()
        encoder = [parameter for level in levels for parameter in level.parameters()]
        ahead, recent, position = float("inf"), 0.0, trainer.material.state()
        for inner in range(1, self.config.aggressive + 1):
            trainer.optimizer.zero_grad(set_to_none=True)
            batch, _ = trainer.next_batch()
            loss = trainer.loss(batch)
            loss.total.backward()  # type: ignore[no-untyped-call]
            for parameter in set(self.model.parameters()) - set(encoder):
                parameter.grad = None
            if math.isfinite(float(clip_grad_norm_(encoder, self.config.clip))):
                trainer.optimizer.step()
            per_step = float(loss.total.detach()) / (trainer.material.count(batch) / batch.size)
            # Averaged over processes: all of them must take the same number of steps.
            recent += trainer.process.mean({"loss": per_step})["loss"]
            if inner % 10 == 0:
                if recent >= ahead:
                    break
                ahead, recent = recent, 0.0
        # The looks ahead do not use up the epoch: the outer step sees the batch that was due.
        trainer.material.load_state(position)

    def after_validation(self, measured: dict[str, Any]) -> None:
        """Aggressive training stops for good when the mutual information stops rising."""
        if self.aggressive and measured.get("mi", 0.0) < self.best_mi:
            self.aggressive = False
        self.best_mi = max(self.best_mi, measured.get("mi", 0.0))

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "decoder_reset": self.decoder_reset,
            "aggressive": self.aggressive,
            "best_mi": self.best_mi,
        }

    def load_state(self, state: dict[str, Any], trainer: "Trainer") -> None:
        """Restore what `state` returned."""
        self.decoder_reset = state["decoder_reset"]
        self.aggressive = state["aggressive"]
        self.best_mi = state["best_mi"]

    def _reset_decoder(self, trainer: "Trainer") -> None:
        self.decoder_reset = True
        # Not the noise of the step before: a resumed run has not drawn that, other ranks drew other.
        torch.manual_seed(trainer.experiment.seed + 1)
        fresh = trainer.material.fresh_decoder(self.model)
        self.model.decoder.load_state_dict(fresh.state_dict())
        for parameter in self.model.decoder.parameters():
            trainer.optimizer.state.pop(parameter, None)
        if trainer.ema is not None:
            trainer.ema.restart("decoder.")

    def _freeze(self) -> None:
        self.frozen = True
        for level in self.model.levels.values():
            level.requires_grad_(False)
            for module in level.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.eval()
