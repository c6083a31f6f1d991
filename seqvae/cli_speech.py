"""The verbs of the command line on a speech run: sound files in, sound files out."""

import dataclasses
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from seqvae.data.speech.audio import Sound, open_audio, write_audio
from seqvae.errors import UserError
from seqvae.tasks.chunks import Array
from seqvae.tasks.convert import Conversion
from seqvae.tasks.convert import convert as convert_recording
from seqvae.tasks.outputs import Existing, Job, Plan, plan
from seqvae.tasks.recording import Recording
from seqvae.tasks.sound_jobs import Result, Work, run_jobs
from seqvae.tasks.speech_denoise import Method, denoise_speech
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.speech_reconstruct import reconstruct_speech
from seqvae.tasks.streaming_convert import StreamConverter, stream_recording
from seqvae.training import load_speech

SLOWEST, FASTEST = 1000, 384_000


@dataclasses.dataclass(frozen=True)
class Output:
    """Where sound goes, and who makes it."""

    out: Path | None = None
    """Folder to write to [default: named after the verb]."""
    existing: Existing = "refuse"
    """When a file is there already: refuse to begin, skip it, or replace it."""
    rate: int | None = None
    """Samples per second of what is written, Hz [default: the model's]."""
    vocoder: Path | None = None
    """Folder of a vocoder [default: the run's own, or Griffin-Lim]."""
    device: str = "cpu"
    """Where to compute."""

    def __post_init__(self) -> None:
        if self.rate is not None and not SLOWEST <= self.rate <= FASTEST:
            raise UserError(f"--rate is {self.rate}; it must be {SLOWEST} to {FASTEST} Hz")

    def load(self, run: Path) -> SpeechModel:
        """The run, with the vocoder that was asked for."""
        model = load_speech(run, device=self.device)
        if self.vocoder is not None:
            model.use_vocoder(self.vocoder)
        return model


FLAT = tyro.conf.arg(name="")
Sources = tyro.conf.Positional[tuple[Path, ...]]


def convert(argv: list[str]) -> None:
    """`seqvae convert`, its arguments parsed from `argv`."""

    def command(
        run: tyro.conf.Positional[Path],
        sources: Sources,
        voice: tuple[str, ...],
        own: str | None = None,
        stream: bool = False,
        conversion: Annotated[Conversion, FLAT] = Conversion(),  # noqa: B008
        output: Annotated[Output, FLAT] = Output(),
    ) -> None:
        """Say what was recorded in another voice.

        Sources are sound files and folders, of any length, rate and number of channels; a bad file
        is reported and the rest goes on. Results are WAV files, mono, 16 bits.

        Args:
            run: a trained speech run.
            sources: sound files, and folders of them.
            voice: who shall speak: a speaker of the run, or recordings or a folder of them.
            own: who speaks in the sources, for --strength [default: heard in each].
            stream: convert as if the sources were just being spoken, 20 ms at a time, and print how
                far behind the result is; for runs trained with causal networks.
            conversion: how the voice is changed.
            output: where results go.
        """
        model = output.load(run)
        target = model.voice(voice[0] if len(voice) == 1 else list(voice))
        mine = None if own is None else model.voice(own)

        def work(recording: Recording) -> Iterator[Array]:
            if stream:
                return stream_recording(model, recording, target, seed=conversion.seed)
            return convert_recording(model, recording, target, conversion, own=mine)

        if stream:
            if conversion != Conversion(seed=conversion.seed):
                raise UserError("--stream goes with --seed alone of the conversion's options")
            latency = StreamConverter(model, target).latency
            print(f"latency {1000 * latency:.0f} ms, computing not counted")
        _each(sources, work, model, output, f"converted-{target.name}")

    tyro.cli(command, args=argv, prog="seqvae convert")


def reconstruct(argv: list[str]) -> None:
    """`seqvae reconstruct` of a speech run."""

    def command(
        run: tyro.conf.Positional[Path],
        sources: Sources,
        voice: str | None = None,
        output: Annotated[Output, FLAT] = Output(),
    ) -> None:
        """Encode recordings and write them again from the posterior means, in their own voices.

        Args:
            run: a trained speech run.
            sources: sound files, and folders of them.
            voice: who speaks in them, where that is known [default: heard in each].
            output: where results go.
        """
        model = output.load(run)
        own = None if voice is None else model.voice(voice)
        work: Work = lambda r: reconstruct_speech(model, r, own)
        _each(sources, work, model, output, "reconstructed")

    tyro.cli(command, args=argv, prog="seqvae reconstruct")


def denoise(argv: list[str]) -> None:
    """`seqvae denoise` of a speech run."""

    def command(
        run: tyro.conf.Positional[Path],
        sources: Sources,
        voice: str | None = None,
        method: Method = "mask",
        output: Annotated[Output, FLAT] = Output(),
    ) -> None:
        """Take noise off recordings, with a run that was trained on noise.

        Args:
            run: a trained speech run.
            sources: sound files, and folders of them.
            voice: who speaks in them, where that is known [default: heard in each].
            method: mask: turn each band of the recording down to what the model expects of the
                clean sound; vocoder: speak the clean frames anew.
            output: where results go.
        """
        model = output.load(run)
        own = None if voice is None else model.voice(voice)
        with _said():
            work: Work = lambda r: denoise_speech(model, r, own, method=method)
            _each(sources, work, model, output, "denoised")

    tyro.cli(command, args=argv, prog="seqvae denoise")


def sample(argv: list[str]) -> None:
    """`seqvae sample` of a speech run."""

    def command(
        run: tyro.conf.Positional[Path],
        n: int = 3,
        seconds: float = 3.0,
        voice: str | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        output: Annotated[Output, FLAT] = Output(),
    ) -> None:
        """Write new sounds: content from its prior, voices from theirs or one given.

        The prior knows no words: expect babble.

        Args:
            run: a trained speech run.
            n: how many.
            seconds: length of each.
            voice: who shall speak [default: drawn too].
            temperature: factor on the content's noise.
            seed: fixes everything.
            output: where results go.
        """
        model = output.load(run)
        names = [f"sample-{number + 1}" for number in range(n)]
        paths = _free(names, output, "sampled")
        sounds = model.sample(n, seconds, voice, temperature=temperature, seed=seed)
        _write(paths, sounds, output.rate)

    tyro.cli(command, args=argv, prog="seqvae sample")


def interpolate(argv: list[str]) -> None:
    """`seqvae interpolate` of a speech run."""

    def command(
        run: tyro.conf.Positional[Path],
        source: tyro.conf.Positional[Path],
        start: tyro.conf.Positional[str],
        end: tyro.conf.Positional[str],
        steps: int = 5,
        output: Annotated[Output, FLAT] = Output(),
    ) -> None:
        """Say what was recorded in voices on the way from one to another.

        Args:
            run: a trained speech run.
            source: what is said: a sound file.
            start: first voice: a speaker of the run, a recording, or a folder.
            end: last voice.
            steps: sounds to write, both ends included.
            output: where results go.
        """
        model = output.load(run)
        names = [f"{source.stem}-{number + 1}-of-{steps}" for number in range(steps)]
        paths = _free(names, output, "interpolated")
        _write(paths, model.interpolate(source, start, end, steps), output.rate)

    tyro.cli(command, args=argv, prog="seqvae interpolate")


def score(argv: list[str]) -> None:
    """`seqvae score` of a speech run."""

    def command(
        run: tyro.conf.Positional[Path],
        sources: Sources,
        voice: str | None = None,
        samples: int = 4,
        seed: int = 0,
        device: str = "cpu",
        json_lines: bool = False,
    ) -> None:
        """Say how surprising sounds are, in nats per frame; high scores are anomalies.

        worst is the mean over the quarter of a second that surprises most; compare it with that of usual sounds.

        Args:
            run: a trained speech run.
            sources: sound files, and folders of them.
            voice: who speaks in them, where that is known [default: heard in each].
            samples: of the latents, over which the reconstruction is averaged.
            seed: fixes them.
            device: where to compute.
            json_lines: print one JSON object a sound, with the score of every frame.
        """
        model = load_speech(run, device=device)
        own = None if voice is None else model.voice(voice)
        errors: list[tuple[Path, str]] = []
        jobs = plan(sources, Path("."), existing="replace").jobs
        if not json_lines:
            print("    nats  = frames + content +  style     worst   seconds  sound")
        for job in jobs:
            try:
                found = model.score(job.source, own, samples=samples, seed=seed)
            except UserError as error:
                errors.append((job.source, str(error)))
                continue
            if json_lines:
                track = [round(value, 4) for value in found.track.tolist()]
                figures = {**dataclasses.asdict(found), "worst": found.worst, "track": track}
                print(json.dumps(figures))
                continue
            print(
                f"{found.nats:8.2f}  {found.reconstruction:8.2f}  {found.content:8.2f} "
                f"{found.style:8.3f}  {found.worst:8.2f}  {found.seconds:8.2f}  {found.name}"
            )
        _end(errors)

    tyro.cli(command, args=argv, prog="seqvae score")


def _each(
    sources: Sequence[Path], work: Work, model: SpeechModel, output: Output, folder: str
) -> None:
    """Do `work` on every source, print what became of it, and end with status 1 after errors."""
    out = output.out or Path(folder)
    found = plan(sources, out, existing=output.existing)
    results: list[Result] = []
    errors: list[tuple[Path, str]] = []
    with tqdm(
        total=round(_seconds(found.jobs), 1),
        unit="s",
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]",
        disable=None,
        leave=False,
    ) as bar:
        jobs = run_jobs(found.jobs, work, model.settings, rate=output.rate, progress=bar.update)
        for result in jobs:
            if result.error is not None:
                errors.append((result.source, result.error))
                continue
            results.append(result)
            note = "  (silence)" if result.silent else ""
            tqdm.write(
                f"{result.output}  {result.seconds:.1f} s, real-time factor "
                f"{result.real_time_factor:.3f}{note}"
            )
    seconds = sum(result.seconds for result in results)
    elapsed = sum(result.elapsed for result in results)
    factor = f", real-time factor {elapsed / seconds:.3f}" if seconds else ""
    left = _left(found)
    print(f"{len(results)} files, {seconds:.1f} s of sound in {elapsed:.1f} s{factor}{left}")
    _end(errors)


def _left(found: Plan) -> str:
    """What was not read, in words."""
    parts = []
    if found.done:
        parts.append(f"{found.done} already there")
    if found.ignored:
        parts.append(f"{found.ignored} files that are no sound ignored")
    return f" ({', '.join(parts)})" if parts else ""


def _seconds(jobs: Sequence[Job]) -> float:
    """Length of all sources by their headers; bad ones count nothing."""
    total = 0.0
    for job in jobs:
        try:
            with open_audio(job.source) as file:
                total += file.frames / file.rate
        except UserError:
            continue
    return total


def _free(names: Sequence[str], output: Output, folder: str) -> list[Path]:
    """Files to write, by name; refused where one exists, unless it shall be replaced."""
    paths = [(output.out or Path(folder)) / f"{name}.wav" for name in names]
    for path in paths:
        if path.exists() and output.existing != "replace":
            raise UserError(f"{path} exists; choose another --out, or --existing replace")
    return paths


def _write(paths: Sequence[Path], sounds: Sequence[Sound], rate: int | None) -> None:
    """Write sounds and print where."""
    from seqvae.nn.resample import resample

    for path, sound in zip(paths, sounds, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = rate or sound.rate
        write_audio(path, resample(sound.samples, sound.rate, wanted), wanted)
        print(path)


def _end(errors: Sequence[tuple[Path, str]]) -> None:
    """A table of what went wrong, and status 1."""
    if not errors:
        return
    print(f"\n{len(errors)} could not be read:", file=sys.stderr)
    for source, error in errors:
        print(f"  {error if str(source) in error else f'{source}: {error}'}", file=sys.stderr)
    raise SystemExit(1)


@contextmanager
def _said() -> Iterator[None]:
    """Warnings of a task as one line on standard error, each once."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        show: Callable[..., None] = lambda message, *_, **__: print(
            f"warning: {message}", file=sys.stderr
        )
        warnings.showwarning = show
        yield
