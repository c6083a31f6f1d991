"""A bundle as a server's model, whatever its kind."""

from pathlib import Path

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.serving.runtime import Provider
from seqvae.serving.service import Model, facts_of


def open_model(
    path: Path,
    *,
    variant: str | None = None,
    provider: Provider = "auto",
    threads: int | None = None,
    verify: bool = True,
) -> Model:
    """Open a bundle; the arguments are those of `Engine` and `Converter`.

    Raises:
        UserError: the bundle is damaged or of frames, an argument is wrong, or a package is missing.
    """
    from seqvae.serving.converter import Converter
    from seqvae.serving.engine import Engine

    bundle = Bundle.open(path, verify=verify)
    if bundle.kind == "frames":
        raise UserError(
            f"serve: {path} is a bundle of frames, which is not served: call it from the app itself, "
            "seqvae.serving.FramesEngine or its model.onnx, as its README.md says"
        )
    kind = Converter if bundle.kind == "speech" else Engine
    engine = kind(bundle, variant=variant, provider=provider, threads=threads)
    return Model(engine, facts_of(engine))
