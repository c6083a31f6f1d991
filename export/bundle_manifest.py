"""What a bundle says of itself: `seqvae.json` as dataclasses, and the ORT model package around it."""

import dataclasses
import json
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from seqvae.errors import UserError
from seqvae.export.bundle_frames import FramesFacts, read_frames
from seqvae.export.bundle_json import Reader
from seqvae.export.bundle_speech import SpeechFacts, read_speech

FORMAT = 1
"""Number of the bundle format; a reader refuses all others."""
DOCUMENT = "seqvae.json"
PACKAGE = "manifest.json"
MODEL = "model"
MAX_DOCUMENT = 64 << 20
"""Most bytes of a JSON file in a bundle; a million pieces take 20 MiB."""
MAX_FILE = 64 << 30
"""Most bytes of any file in a bundle."""
MAX_VOCABULARY = 1 << 24
MAX_DIMENSION = 1 << 20

# One form on every file system: no dots in front, no separators but /, no device names.
_NAME = re.compile(
    r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$))[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(?<!\.)"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEPTH = 4

VARIANTS = {
    "cpu-fp32": ("fp32", "cpu", "CPUExecutionProvider"),
    "cpu-int8": ("int8", "cpu", "CPUExecutionProvider"),
    "cuda-fp16": ("fp16", "cuda", "CUDAExecutionProvider"),
}
"""Every variant there is: precision, provider, and ONNX Runtime's name of the provider."""
PARTS = (
    MODEL,
    "encoder",
    "prior",
    "density",
    "start",
    "step",
    "generate",
    "scorer",
    "tokenizer",
    "detokenizer",
    "style",
    "decoder",
    "vocoder",
    "score",
)
"""Every graph a variant may hold."""
TIERS = ("sentencepiece", "char", "ids")
"""Where text becomes ids: by onnxruntime-extensions, by plain ONNX operators, or not in a graph."""


@dataclass(frozen=True)
class Range:
    """An option of a row: its default and the values it may take.

    Attributes:
        default: value of a row that does not say.
        low: least value.
        high: greatest value; None: any finite one.
        dtype: int64, float32 or bool.
    """

    default: float
    low: float
    high: float | None
    dtype: str


OPTIONS = {
    "seed": Range(0, -(2**63), 2**63 - 1, "int64"),
    "sample": Range(0, 0, 2**31 - 2, "int64"),
    "noise_scale": Range(1.0, 0.0, 100.0, "float32"),
    "temperature": Range(0.0, 0.0, 1000.0, "float32"),
    "top_k": Range(0, 0, 2**31 - 1, "int64"),
    "top_p": Range(1.0, 0.0, 1.0, "float32"),
    "beam": Range(False, False, True, "bool"),
    "length_penalty": Range(0.6, 0.0, 10.0, "float32"),
    "max_length": Range(256, 1, 1 << 16, "int64"),
}
"""The options of one row of text, in the order graphs have them."""
SPEECH_OPTIONS = {
    "speaker": Range(0, 0, MAX_DIMENSION, "int64"),
    "strength": Range(1.0, 0.0, 4.0, "float32"),
    "noise_scale": Range(0.0, 0.0, 10.0, "float32"),
    "seed": Range(0, -(2**63), 2**63 - 1, "int64"),
}
"""The options of one sound."""
FRAMES_OPTIONS = {
    "seed": OPTIONS["seed"],
    "sample": OPTIONS["sample"],
    "noise_scale": Range(0.0, 0.0, 100.0, "float32"),
    "temperature": Range(1.0, 0.0, 100.0, "float32"),
}
"""The options of one sequence of frames."""
KINDS = {"text": OPTIONS, "speech": SPEECH_OPTIONS, "frames": FRAMES_OPTIONS}
"""What flows in and out, with the options of a row."""
_ONLY = {
    "text": ("vocabulary", "max_length", "beam_size", "tokenizer", "special"),
    "speech": ("speech",),
    "frames": ("frames",),
}


@dataclass(frozen=True)
class File:
    """A file of the bundle: its digest (hexadecimal) and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Variant:
    """One precision for one kind of machine.

    Attributes:
        precision: fp32, int8 or fp16 inside; what goes in and comes out is float32.
        provider: cpu or cuda.
        parts: names of its graphs, `model` among them.
        bytes: size of all its files.
        verify: what the comparison with PyTorch measured; see `seqvae.export.verify`.
    """

    precision: str
    provider: str
    parts: tuple[str, ...]
    bytes: int
    verify: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`seqvae.json`.

    Attributes:
        version: of seqvae that wrote the bundle.
        kind: what flows in and out: one of `KINDS`.
        tasks: names of what it can do.
        latent: size D of z, of speech that of a content vector; 0 for a language model.
        vocabulary: of text: number V of pieces.
        max_length: of text: longest sequence in tokens, start and end included.
        beam_size: of text: hypotheses of beam search.
        tokenizer: of text: one of `TIERS`.
        opset: of the graphs.
        labels: names of the classes it was trained with; of speech those of its voices, of frames those it is told.
        options: of a row, by name.
        special: of text: ids of the special pieces, by name.
        speech: of speech: what else there is to know.
        frames: of frames: what else there is to know.
        default_variant: for a user who does not choose.
        variants: by name.
        source: facts about the run it was exported from.
        files: every file but `seqvae.json`, by path relative to the bundle.
    """

    version: str
    kind: str
    tasks: tuple[str, ...]
    latent: int
    vocabulary: int = 0
    max_length: int = 0
    beam_size: int = 0
    tokenizer: str = "ids"
    opset: int
    labels: tuple[str, ...]
    options: dict[str, Range]
    special: dict[str, int] = field(default_factory=dict)
    default_variant: str
    variants: dict[str, Variant]
    source: dict[str, Any] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    speech: SpeechFacts | None = None
    frames: FramesFacts | None = None

    def document(self) -> dict[str, Any]:
        """The JSON value of `seqvae.json`."""
        values = dataclasses.asdict(self)
        own = _fields_of(self.kind)
        return {"format": FORMAT, "seqvae": self.version} | {name: values[name] for name in own}


def _fields_of(kind: str) -> list[str]:
    """The fields of `seqvae.json` that bundles of a kind have, in order."""
    others = {name for other, names in _ONLY.items() if other != kind for name in names}
    names = [item.name for item in dataclasses.fields(Manifest)]
    return [name for name in names if name not in others | {"version"}]


def package(manifest: Manifest) -> dict[str, Any]:
    """The JSON value of `manifest.json`: the folder as an ONNX Runtime model package."""
    variants = {
        name: {
            "ep": VARIANTS[name][2],
            "executor_info": {"ort": {"model_file": f"{MODEL}.onnx"}},
        }
        for name in manifest.variants
    }
    return {"schema_version": "1.0", "components": {MODEL: {"variants": variants}}}


def read_manifest(path: Path) -> Manifest:
    """Read and check a `seqvae.json`.

    Raises:
        UserError: absent, another format, or a field is missing, unknown or out of bounds.
    """
    document = read_json(path)
    reader = _Reader(path)
    if not isinstance(document, dict) or not {"format", "seqvae"} <= document.keys():
        reader.refuse("format", "absent", "is it a bundle? `seqvae export` writes one")
    if document["format"] != FORMAT or isinstance(document["format"], bool):
        reader.refuse(
            "format",
            document["format"],
            f"this seqvae reads format {FORMAT}; install the version that wrote it "
            f"(seqvae {str(document['seqvae'])[:20]}) or export the run again",
        )
    return reader.manifest(document)


def check_path(name: str) -> bool:
    """Whether a relative path is plain: no way out of the folder, one meaning on every system."""
    parts = name.split("/")
    return len(parts) <= _DEPTH and all(_NAME.fullmatch(part) for part in parts)


def read_json(path: Path) -> Any:  # noqa: ANN401 (any JSON value)
    """A JSON file of bounded size, without repeated keys or numbers that are not finite.

    Raises:
        UserError: absent, too large, truncated, or not such JSON.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # opening a pipe would wait for ever
            raise UserError(f"{path}: not a plain file; copy the bundle without links")
        with path.open("rb") as stream:
            content = stream.read(MAX_DOCUMENT + 1)
        if len(content) > MAX_DOCUMENT:
            raise UserError(f"{path}: larger than {MAX_DOCUMENT:,} bytes; it is not ours")
        return json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_not_finite
        )
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; name a bundle, as `seqvae export RUN BUNDLE` writes it"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not JSON of a bundle ({str(error)[:200]}): truncated or altered; copy or "
            "export the bundle again"
        ) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key comes twice")
    return values


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


class _Reader(Reader):
    """Turns the JSON value of `seqvae.json` into dataclasses."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.known_options: dict[str, Range] = {}

    def manifest(self, document: dict[str, Any]) -> Manifest:
        kind = self.one_of("kind", document.get("kind"), tuple(KINDS))
        names = set(_fields_of(kind))
        given = document.keys() - {"format", "seqvae"}
        if given != names:
            odd = sorted(given ^ names)
            self.refuse(odd[0], "unknown" if odd[0] in given else "absent", "altered; export again")
        self.known_options = KINDS[kind]
        own: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "text": self.text_fields,
            "speech": lambda given: {"speech": read_speech(self, given["speech"])},
            "frames": lambda given: {"frames": read_frames(self, given["frames"])},
        }
        manifest = Manifest(
            version=self.text("seqvae", document["seqvae"]),
            kind=kind,
            tasks=self.texts("tasks", document["tasks"]),
            latent=self.integer("latent", document["latent"], 0, MAX_DIMENSION),
            opset=self.integer("opset", document["opset"], 18, 100),
            labels=self.texts("labels", document["labels"]),
            options=self.each("options", document["options"], self.option),
            default_variant=self.text("default_variant", document["default_variant"]),
            variants=self.each("variants", document["variants"], self.variant),
            source=self.mapping("source", document["source"]),
            files=self.each("files", document["files"], self.file),
            **own[kind](document),
        )
        self.consistent(manifest)
        return manifest

    def text_fields(self, document: dict[str, Any]) -> dict[str, Any]:
        return {
            "vocabulary": self.integer("vocabulary", document["vocabulary"], 5, MAX_VOCABULARY),
            "max_length": self.integer("max_length", document["max_length"], 2, 1 << 24),
            "beam_size": self.integer("beam_size", document["beam_size"], 1, 128),
            "tokenizer": self.one_of("tokenizer", document["tokenizer"], TIERS),
            "special": self.each("special", document["special"], self.special),
        }

    def consistent(self, manifest: Manifest) -> None:
        if manifest.default_variant not in manifest.variants:
            self.refuse(
                "default_variant", manifest.default_variant, f"not among {[*manifest.variants]}"
            )
        folded = {name.casefold() for name in manifest.files}
        if len(folded) != len(manifest.files):
            self.refuse("files", len(manifest.files), "names differ in case only")
        needed = {PACKAGE} | {
            f"{name}/{part}.onnx" for name, v in manifest.variants.items() for part in v.parts
        }
        absent = needed - manifest.files.keys()
        if absent:
            self.refuse(f"files[{min(absent)!r}]", "absent", "altered; export again")

    def option(self, where: str, name: str, item: object) -> Range:
        value = self.mapping(where, item)
        if name not in self.known_options or value.keys() != {"default", "low", "high", "dtype"}:
            self.refuse(where, value, "not an option of this format; export again")
        known = self.known_options[name]
        for key in ("default", "low", "high"):
            got = value[key]
            ok = isinstance(got, int | float) or (key == "high" and got is None)
            if not ok or (got is not None and not abs(got) <= 2**63):
                self.refuse(f"{where}.{key}", got, "a 64-bit number is needed")
        if value["dtype"] != known.dtype:
            self.refuse(f"{where}.dtype", value["dtype"], f"must be {known.dtype}")
        return Range(**value)

    def variant(self, where: str, name: str, item: object) -> Variant:
        value = self.mapping(where, item)
        if name not in VARIANTS:
            self.refuse(where, name, f"known variants: {', '.join(VARIANTS)}")
        if value.keys() != {item.name for item in dataclasses.fields(Variant)}:
            self.refuse(where, sorted(value), "fields are missing or unknown; export again")
        precision, provider, _ = VARIANTS[name]
        parts = self.texts(f"{where}.parts", value["parts"])
        unknown = set(parts) - set(PARTS)
        if unknown or MODEL not in parts or len(set(parts)) != len(parts):
            self.refuse(
                f"{where}.parts", parts, f"must be {MODEL} and others of {', '.join(PARTS)}"
            )
        return Variant(
            precision=self.one_of(f"{where}.precision", value["precision"], (precision,)),
            provider=self.one_of(f"{where}.provider", value["provider"], (provider,)),
            parts=parts,
            bytes=self.integer(f"{where}.bytes", value["bytes"], 1, MAX_FILE),
            verify=self.mapping(f"{where}.verify", value["verify"]),
        )

    def file(self, where: str, name: str, item: object) -> File:
        value = self.mapping(where, item)
        if not check_path(name) or name == DOCUMENT:
            self.refuse("files", name, "not a plain path inside the bundle; do not trust it")
        if value.keys() != {"sha256", "bytes"}:
            self.refuse(where, sorted(value), "must be sha256 and bytes")
        digest = value["sha256"]
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            self.refuse(f"{where}.sha256", digest, "must be 64 hexadecimal digits")
        return File(digest, self.integer(f"{where}.bytes", value["bytes"], 0, MAX_FILE))

    def special(self, where: str, name: str, value: object) -> int:
        return self.integer(where, value, 0, MAX_VOCABULARY)
