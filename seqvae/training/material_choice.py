"""Which material a run is trained on."""

from seqvae.config import Experiment
from seqvae.config_speech import Speech
from seqvae.data.folder import modality_of
from seqvae.errors import UserError
from seqvae.training.distributed import Process
from seqvae.training.material import Material
from seqvae.training.material_speech import SpeechMaterial
from seqvae.training.material_text import TextMaterial


def open_material(experiment: Experiment, process: Process) -> Material:
    """The run's data, opened by one of the processes that train.

    Raises:
        UserError: there is no prepared corpus, it is not what the run's networks are for, or the
            run's settings do not go with it.
    """
    networks = "speech" if isinstance(experiment.model, Speech) else "text"
    found = modality_of(experiment.data)
    if found != networks:
        raise UserError(
            f"{experiment.data} is a corpus of {found}, but the run's networks are for {networks}: "
            f"start from the presets for {found}"
        )
    return (SpeechMaterial if networks == "speech" else TextMaterial)(experiment, process)
