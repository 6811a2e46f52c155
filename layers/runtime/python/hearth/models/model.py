"""A loaded artifact: its ONNX sessions, its tokenizer, and `run`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hearth import deadline
from hearth.errors import IntegrityError, Unavailable
from hearth.models.heads import Head
from hearth.models.manifest import Manifest, Provider
from hearth.models.preprocessing import ImagePreprocessing, Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

P = TypeVar("P", bound=Preprocessing | None)
H = TypeVar("H", bound=Head | None)
OPENVINO = "OpenVINOExecutionProvider"
UNKNOWN_TOKENS = ("[UNK]", "<unk>")
SPIN_MICROSECONDS = "1000"
"""How long a session's thread spins for work before it sleeps: longer than the pause between two tokens. By default
ONNX Runtime's threads poll at growing intervals, which makes short runs slower, and use a CPU meanwhile (`hearth bench
gpt2`)."""

PARALLEL_PREPACK_BYTES = 256 << 20
"""Weights up to which threads repack them together. They then hold all of them twice at once, which for 1.1 billion
parameters of int8 took 2,031 MB instead of 1,107, and saved 0.4 seconds."""


SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""Optimisers that are disabled at export and where graphs are arranged while they are loaded: this one's operator takes
eight times as long as a LayerNormalization."""


class Model(Generic[P, H]):
    """A model loaded from a folder of verified files. It can run in several threads at once.

    A task's functions take the model typed with the preprocessing and head of its task, such as
    `Model[TextPreprocessing, Tagging]`; the manifest's schema and the task table guarantee these types.
    """

    preprocessing: P
    head: H
    tokenizer: Tokenizer
    """Only for models whose preprocessing or head names one."""

    def __init__(self, manifest: Manifest, folder: Path, threads: int) -> None:
        self.manifest = manifest
        self.preprocessing, self.head = manifest.preprocessing, manifest.head  # type: ignore[assignment]
        self.resources = {path: (folder / path).read_bytes() for path in manifest.resources}
        preprocessing = manifest.preprocessing
        picture = preprocessing if isinstance(preprocessing, ImagePreprocessing) else None
        self._sessions = {
            role: create_session(
                folder / graph.path,
                threads,
                manifest.provider,
                keeps_memory=picture is not None,
                fixed_shapes=picture is not None and picture.resize != "keep-aspect",
                blocked=graph.blocked,
            )
            for role, graph in manifest.graphs.items()
        }
        for part in (manifest.preprocessing, manifest.head):
            if tokenizer := getattr(part, "tokenizer", None):
                # After the sessions, because memory use peaks while they are created.
                self.tokenizer = _tokenizer(folder / tokenizer, part.max_tokens)  # type: ignore[union-attr]
        self.input_names = {role: [tensor.name for tensor in graph.inputs] for role, graph in manifest.graphs.items()}
        """Input names by the graph's role, in the order of the manifest."""
        self._outputs = {role: [tensor.name for tensor in graph.outputs] for role, graph in manifest.graphs.items()}

    @functools.cached_property
    def unknown_token(self) -> int | None:
        """The id of the token for unknown words; None: there is none."""
        for token in UNKNOWN_TOKENS:
            if (token_id := self.tokenizer.token_to_id(token)) is not None:
                return int(token_id)
        return None

    @functools.cached_property
    def known_tokens(self) -> np.ndarray[Any, Any] | None:
        """Whether a token id, modulo the length, occurs in the evaluation, (bits,) bool; None: it is not known."""
        if self.manifest.reference is None or not self.manifest.reference.known_tokens:
            return None
        import binascii

        import numpy as np

        data = binascii.a2b_base64(self.manifest.reference.known_tokens)
        return np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool)

    @functools.cached_property
    def centre(self) -> np.ndarray[Any, Any] | None:
        """The mean vector of the evaluation, (dimensions,) float32; None: it is not known."""
        if self.manifest.reference is None or not self.manifest.reference.centre:
            return None
        import numpy as np

        return np.array(self.manifest.reference.centre, np.float32)

    def run(self, feeds: dict[str, np.ndarray[Any, Any]], graph: str = "main") -> list[np.ndarray[Any, Any]]:
        """Run a graph and return its outputs in the order of the manifest. Raises DeadlineExceeded."""
        with deadline.Run() as options:
            return self._sessions[graph].run(self._outputs[graph], feeds, options)  # type: ignore[no-any-return]

    def run_bound(self, binding: Any, graph: str = "main") -> None:
        """Run a graph with the inputs and outputs of `binding`. Raises DeadlineExceeded."""
        with deadline.Run() as options:
            self._sessions[graph].run_with_iobinding(binding, options)

    def session(self, graph: str = "main") -> Any:
        """The graph's onnxruntime.InferenceSession, to bind inputs and outputs once for many runs."""
        return self._sessions[graph]


def create_session(
    path: Path,
    threads: int,
    provider: Provider,
    *,
    keeps_memory: bool = False,
    fixed_shapes: bool = False,
    blocked: bool = False,
) -> Any:
    """An onnxruntime.InferenceSession of a graph of an artifact. Raises Unavailable and IntegrityError."""
    # First: ONNX Runtime starts in the middle of NumPy. If another thread imports NumPy at that moment, while this one
    # loads a model ahead, both fail, and so does every later request of the process.
    import numpy  # noqa: F401
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The graph was optimised at export, and its weights are in a file that is mapped into memory.
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_LAYOUT if blocked else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads  # by default ONNX Runtime pins threads to CPUs that a Lambda does not have
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; its log lines might quote a caller's input
    # Each new text length would add a memory plan and grow the arena, which never shrinks. Pictures have a largest
    # size: without the arena, a detector's tensors took five times as long as its work (YOLOS, 302 ms and 1,824).
    options.enable_cpu_mem_arena = keeps_memory
    options.enable_mem_pattern = fixed_shapes
    if threads > 1:
        if _weight_bytes(path) <= PARALLEL_PREPACK_BYTES:
            options.add_session_config_entry("session.prepack.enable_parallel", "1")
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    providers = ["CPUExecutionProvider"] if provider == "cpu" else _openvino(threads)
    try:
        disabled = {"disabled_optimizers": SLOW_FUSIONS} if blocked else {}
        return onnxruntime.InferenceSession(str(path), options, providers=providers, **disabled)
    except Exception as error:  # ONNX Runtime's exceptions have no narrower base class
        if "bad_alloc" in str(error) or "allocate memory" in str(error):
            raise Unavailable(f"{path.name} needs more memory than is available; give the function more") from error
        raise IntegrityError(f"{path.name} cannot be loaded: {type(error).__name__}") from error


def _weight_bytes(path: Path) -> int:
    """Size of a graph's external weights, which are in a file beside it."""
    weights = path.with_suffix(".bin")
    return weights.stat().st_size if weights.is_file() else 0


def _openvino(threads: int) -> list[Any]:
    """A session's providers for OpenVINO. Raises Unavailable if it is missing; ONNX Runtime would silently run without
    it."""
    import onnxruntime

    if OPENVINO not in onnxruntime.get_available_providers():
        raise Unavailable(
            "The manifest's `provider` is openvino, which this ONNX Runtime does not have: install "
            "onnxruntime-openvino in place of onnxruntime, or build the model without it"
        )
    options = {"device_type": "CPU", "num_of_threads": str(threads), "num_streams": "1"}
    return [(OPENVINO, options), "CPUExecutionProvider"]


def _tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise IntegrityError(f"{path.name} cannot be loaded: {type(error).__name__}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
