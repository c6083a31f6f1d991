"""A speech run exported and compared with PyTorch, from 0.3 s to 60 s of sound; bar 5, and bar 3's speeds, of issue D.

    python -m benchmarks.speech_exported RUN --vocoder FOLDER [--bundle FOLDER]

Every export makes this comparison and refuses to write what fails it; here its figures are kept. Speeds are those of one
thread, of five seconds of sound, the graph and PyTorch in turns. Result: benchmarks/results/speech/exported.json.
"""

import tempfile
from pathlib import Path

import tyro

from benchmarks.record import ledger, write_result
from seqvae.export.speech_export import export_speech_run
from seqvae.export.speech_golden import LENGTHS
from seqvae.export.speech_verify import AUDIO, COLUMNS, FRAMES
from seqvae.export.verify import table

RESULT = "speech/exported"
FASTER, REAL_TIME = 1.5, 0.2


def measure(
    run: tyro.conf.Positional[Path], vocoder: Path | None = None, bundle: Path | None = None
) -> None:
    """Export, compare, record.

    Args:
        run: a trained speech run.
        vocoder: of its corpus; by default the run's own, or Griffin-Lim.
        bundle: folder to keep the bundle in; by default it is thrown away.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = bundle or Path(folder) / "bundle"
        made = export_speech_run(run, target, vocoder=vocoder, overwrite=bundle is not None)
    known = made.variants[made.default_variant].verify
    assert made.speech is not None
    spoken = made.speech.vocoder
    path = write_result(RESULT, {"vocoder": spoken, "parts": known})
    print(table({made.default_variant: known}, COLUMNS))
    real_time = known["second_ms"] / 1000.0
    sounds = {length: known[f"audio_db_{length:g}"] for length in LENGTHS}
    rows = [
        {
            "bar": "5",
            "what": "frames of model.onnx before the vocoder against PyTorch's, least of all sounds",
            "target": f">= {FRAMES:g} dB",
            "figure": f"{known['frames_db']:.0f} dB",
            "met": known["frames_db"] >= FRAMES,
        },
        {
            "bar": "5",
            "what": f"sound of model.onnx against PyTorch's, seeded alike, vocoder {spoken}",
            "target": f">= {AUDIO:g} dB from 0.3 s to 60 s",
            "figure": ", ".join(f"{length:g} s {value:.0f} dB" for length, value in sounds.items()),
            "met": known["audio_db"] >= AUDIO,
        },
        {
            "bar": "3",
            "what": f"conversion end to end in ONNX Runtime on one thread, vocoder {spoken}: real-time factor",
            "target": f"<= {REAL_TIME:g}",
            "figure": f"{real_time:.3f}",
            "met": real_time <= REAL_TIME,
        },
        {
            "bar": "3",
            "what": f"conversion: time of eager PyTorch over ONNX Runtime's, one thread, vocoder {spoken}",
            "target": f">= {FASTER:g} x",
            "figure": f"{known['faster']:.2f} x",
            "met": known["faster"] >= FASTER,
        },
    ]
    ledger("D", [row | {"result_file": path} for row in rows])


if __name__ == "__main__":
    tyro.cli(measure)
