"""Models on Amazon Bedrock, through its Converse API."""

from parley.adapters.models.bedrock.model import BedrockModel, connect

__all__ = ["BedrockModel", "connect"]
