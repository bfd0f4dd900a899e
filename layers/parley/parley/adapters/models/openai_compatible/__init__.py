"""Any server that speaks OpenAI's Chat Completions: OpenAI itself, vLLM, Ollama, llama.cpp."""

from parley.adapters.models.openai_compatible.model import OpenAICompatibleModel

__all__ = ["OpenAICompatibleModel"]
