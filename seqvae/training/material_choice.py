"""Which material a run is trained on."""

from collections.abc import Callable

from seqvae.config import Experiment
from seqvae.data.folder import Modality, modality_of
from seqvae.errors import UserError
from seqvae.training.distributed import Process
from seqvae.training.material import Material
from seqvae.training.material_frames import FramesMaterial
from seqvae.training.material_speech import SpeechMaterial
from seqvae.training.material_text import TextMaterial


def open_material(experiment: Experiment, process: Process) -> Material:
    """The run's data, opened by one of the processes that train.

    Raises:
        UserError: there is no prepared corpus, it is not what the run's networks are for, or the
            run's settings do not go with it.
    """
    found = modality_of(experiment.data)
    if found != experiment.kind:
        raise UserError(
            f"{experiment.data} is a corpus of {found}, but the run's networks are for {experiment.kind}: "
            f"start from the presets for {found}"
        )
    return _MATERIALS[found](experiment, process)


_MATERIALS: dict[Modality, Callable[[Experiment, Process], Material]] = {
    "text": TextMaterial,
    "speech": SpeechMaterial,
    "frames": FramesMaterial,
}
