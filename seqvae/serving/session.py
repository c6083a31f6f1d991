"""The graphs of one variant of a bundle: opened when first used, run from any thread."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np

from seqvae.errors import UserError
from seqvae.serving import runtime

Array = np.ndarray[Any, np.dtype[Any]]
# Each overridable default of a graph is a warning at every load; what is fatal raises anyway.
_ERRORS_ONLY = 3


class Graphs(Protocol):
    """Named graphs, however they are computed."""

    def __contains__(self, part: object) -> bool:
        """Whether there is a graph of this name."""

    def inputs(self, part: str) -> frozenset[str]:
        """Names that `feeds` of `run` may have."""

    def outputs(self, part: str) -> tuple[str, ...]:
        """Names that `run` can compute."""

    def run(
        self, part: str, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Compute the named outputs; all of them by default."""


class _Opened(NamedTuple):
    """A session with the names of what goes in and out: asking it for them costs more than a feed."""

    session: Any
    inputs: frozenset[str]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, session: Any) -> Self:  # noqa: ANN401
        known = [*session.get_inputs(), *session.get_overridable_initializers()]
        outputs = tuple(value.name for value in session.get_outputs())
        return cls(session, frozenset(value.name for value in known), outputs)


class Sessions:
    """`Graphs` computed by onnxruntime.

    Args:
        paths: file of each graph.
        provider: where to compute.
        threads: for one operator; None: one for each core.
        extensions: whether the graphs use operators of onnxruntime-extensions.

    Raises:
        UserError: `threads` is not positive, or a package is missing.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        *,
        provider: Literal["cpu", "cuda"] = "cpu",
        threads: int | None = None,
        extensions: bool = False,
    ) -> None:
        if threads is not None and (isinstance(threads, bool) or threads < 1):
            raise UserError(f"engine: threads is {threads!r}; it must be 1 or more")
        self.provider = provider
        self._paths, self._threads = dict(paths), threads
        self._library = runtime.extensions_library() if extensions else None
        self._open: dict[str, _Opened] = {}
        self._locks = {part: threading.Lock() for part in self._paths}
        if provider == "cuda":
            runtime.preload()

    def __contains__(self, part: object) -> bool:
        """See `Graphs.__contains__`."""
        return part in self._paths

    def inputs(self, part: str) -> frozenset[str]:
        """See `Graphs.inputs`."""
        return self._opened(part).inputs

    def outputs(self, part: str) -> tuple[str, ...]:
        """See `Graphs.outputs`."""
        return self._opened(part).outputs

    def run(
        self, part: str, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """See `Graphs.run`."""
        opened = self._opened(part)
        names = list(opened.outputs if outputs is None else outputs)
        return dict(zip(names, opened.session.run(names, dict(feeds)), strict=True))

    def session(self, part: str) -> Any:  # noqa: ANN401 (onnxruntime has no types)
        """The open `InferenceSession` of a graph.

        Raises:
            UserError: there is no such graph, or onnxruntime refuses it.
        """
        return self._opened(part).session

    def open(self, part: str, *, graphs: bool = False) -> Any:  # noqa: ANN401
        """A new session of a graph, beside the one that `session` keeps.

        Args:
            part: name of the graph.
            graphs: capture CUDA graphs.

        Raises:
            UserError: onnxruntime refuses it.
        """
        package = runtime.onnxruntime()
        options = package.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        if self._library is not None:
            options.register_custom_ops_library(self._library)
        path = self._paths[part]
        providers = runtime.providers_of(self.provider, graphs=graphs)
        try:
            session = package.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its exceptions share no base but this one
            raise UserError(
                f"engine: onnxruntime {package.__version__} cannot load {path}: {error}; export the "
                "bundle again, or install a newer onnxruntime"
            ) from error
        if self.provider == "cuda" and runtime.CUDA not in session.get_providers():
            runtime.warn_of_fallback(
                f"onnxruntime could not start CUDA for {path.name}; are the driver, CUDA and cuDNN "
                "of the versions it was built for?"
            )
        return session

    def _opened(self, part: str) -> _Opened:
        found = self._open.get(part)
        if found is not None:
            return found
        if part not in self._paths:
            known = ", ".join(sorted(self._paths))
            raise UserError(f"engine: this bundle has no graph {part!r}; it has {known}")
        with self._locks[part]:  # two threads that need it first open it once
            found = self._open.get(part) or _Opened.of(self.open(part))
            self._open[part] = found
        return found

    def close(self) -> None:
        """Let go of the sessions; a later use opens them again."""
        self._open.clear()
