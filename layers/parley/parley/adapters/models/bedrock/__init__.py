"""Models on Amazon Bedrock, through its Converse API."""

from parley.adapters.models.bedrock.model import BedrockModel, connect_to_bedrock

__all__ = ["BedrockModel", "connect_to_bedrock"]
