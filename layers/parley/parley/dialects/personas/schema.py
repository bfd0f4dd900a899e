"""Requests and replies of the personas API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.json_schema import SkipJsonSchema

from parley.dialects.fields import MAX_INTEGER, Identifier, Text


class AliasSelector(BaseModel):
    """A persona in production, by its alias; for every kind of key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"alias": "my-alias"}]}
    )

    alias: Identifier


class VersionSelector(BaseModel):
    """A persona by its id, in production or as it is in progress; for test keys alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"persona_id": 1, "version_type": "next"}]},
    )

    persona_id: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    version_type: Literal["next", "production"]


def _form(value: Any) -> str:
    """Which of the two forms a selector has, so that an error is told of that one alone."""
    has_alias = "alias" in value if isinstance(value, dict) else isinstance(value, AliasSelector)
    return "by_alias" if has_alias else "by_version"


PersonaSelectorBody = Annotated[
    Annotated[AliasSelector, Tag("by_alias")] | Annotated[VersionSelector, Tag("by_version")],
    Discriminator(_form),
]


class TokenBody(BaseModel):
    """POST /api/chat/get_token."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "3f0c1a52-8d0e-4b7e-9a54-6f1f0b2c7d11",
                    "persona": {"persona_id": 1, "version_type": "next"},
                },
                {"user_id": "3f0c1a52-8d0e-4b7e-9a54-6f1f0b2c7d11"},
            ]
        }
    )

    user_id: Identifier
    persona: PersonaSelectorBody | None = None


class TokenOut(BaseModel):
    """A token; `expires_at` is in Unix seconds."""

    token: str
    expires_at: int


class CompletionBody(BaseModel):
    """POST /api/chat/completion/stream."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "persona": {"persona_id": 1, "version_type": "next"},
                    "message": "Talk to me",
                },
                {"message": "Talk to me"},
            ]
        }
    )

    message: Annotated[Text, Field(min_length=1)]
    persona: PersonaSelectorBody | None = None
    user_id: Identifier | None = None


class ContinuationBody(BaseModel):
    """POST /api/chat/continuation/stream; `session_id` may stand in the query instead."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["message", "session_id"],  # JSON Schema can't say: here or in the query
            "examples": [
                {
                    "session_id": "b6016570-001c-8562-8780-000000001267",
                    "message": "Talk to me",
                }
            ],
        }
    )

    message: Annotated[Text, Field(min_length=1)]
    session_id: Identifier | SkipJsonSchema[None] = None
    persona: PersonaSelectorBody | None = None
