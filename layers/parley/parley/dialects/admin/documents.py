"""Apps, personas and products as an operator writes them: one JSON document each."""

from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from parley.dialects.fields import MAX_INTEGER, Text
from parley.domain.apps import App, InputField, InputKind
from parley.domain.catalogue import Product
from parley.domain.conversations import Parameters
from parley.domain.errors import InvalidRequest
from parley.domain.personas import PersonaContent

_Name = Annotated[Text, Field(max_length=256)]
_Long = Annotated[Text, Field(max_length=100_000)]

MAX_APP_BYTES = 350_000
"""Of an app as JSON in UTF-8, which is kept in one piece: DynamoDB takes 400 KB."""


def _as_number(given: object) -> object:
    if isinstance(given, bool | str):
        raise ValueError("Input should be a number")  # noqa: TRY004 - pydantic tells of no other
    return given


NUMBER = BeforeValidator(_as_number)
"""No text that reads like a number, nor true; last, or the OpenAPI document loses the bounds."""


class Document(BaseModel):
    """A document in which a name that isn't known would be a typing error."""

    model_config = ConfigDict(extra="forbid")


class ParametersDocument(Document):
    """How to sample; what is left out is the model's own choice."""

    temperature: Annotated[float, Field(ge=0, le=2), NUMBER] | None = None
    top_p: Annotated[float, Field(gt=0, le=1), NUMBER] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER), NUMBER] | None = None
    seed: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER), NUMBER] | None = None
    stop: Annotated[tuple[Annotated[_Name, Field(min_length=1)], ...], Field(max_length=4)] = ()
    frequency_penalty: Annotated[float, Field(ge=-2, le=2), NUMBER] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2), NUMBER] | None = None

    def read(self) -> Parameters:
        """The parameters that this says."""
        return Parameters(**self.model_dump())


class PersonaDocument(Document):
    """What a persona is: the work in progress, or a version of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Travel guide",
                    "system_prompt": "You are a friendly guide to Ethiopia.",
                    "parameters": {"temperature": 0.2},
                }
            ]
        },
    )

    name: Annotated[_Name, Field(min_length=1)]
    system_prompt: _Long
    model: _Name | None = None
    parameters: ParametersDocument = ParametersDocument()

    def read(self) -> PersonaContent:
        """The content that this says."""
        return PersonaContent(
            name=self.name,
            system_prompt=self.system_prompt,
            model=self.model,
            parameters=self.parameters.read(),
        )


class FieldDocument(Document):
    """One field of an app's form."""

    variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    label: Annotated[_Name, Field(min_length=1)]
    kind: InputKind = InputKind.TEXT
    required: StrictBool = False
    default: Text = ""
    max_length: Annotated[int, Field(ge=1, le=MAX_INTEGER), NUMBER] | None = None
    options: tuple[Annotated[Text, Field(min_length=1)], ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind is InputKind.SELECT) != bool(self.options):
            raise ValueError("options belong to a select, which has some")
        if self.default:
            try:
                self.read().read(self.default)
            except InvalidRequest as error:
                raise ValueError(f"the default doesn't fit: {error.message}") from error
        return self

    def read(self) -> InputField:
        """The field that this says."""
        return InputField(**self.model_dump())


class AppDocument(Document):
    """A tenant's app."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Reading circle",
                    "prompt_template": "You talk about {{ book }}.",
                    "form": [{"variable": "book", "label": "Book", "default": "one you like"}],
                    "suggested_questions": ["Who wrote it?"],
                }
            ]
        },
    )

    name: _Name = ""
    description: _Long = ""
    author: _Name = ""
    tags: tuple[_Name, ...] = ()
    prompt_template: _Long = ""
    form: tuple[FieldDocument, ...] = ()
    opening_statement: _Long = ""
    suggested_questions: tuple[_Long, ...] = ()
    suggests_after_answer: StrictBool = False
    model: _Name | None = None
    parameters: ParametersDocument = ParametersDocument()

    @model_validator(mode="after")
    def _names_each_variable_once(self) -> Self:
        variables = [field.variable for field in self.form]
        if len(set(variables)) < len(variables):
            raise ValueError("two fields of the form have one variable")
        return self

    @model_validator(mode="after")
    def _fits_an_item(self) -> Self:
        if len(self.model_dump_json().encode()) > MAX_APP_BYTES:
            raise ValueError(f"an app has {MAX_APP_BYTES} bytes at most")
        return self

    def read(self) -> App:
        """The app that this says."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return App(
            **fields
            | {
                "form": tuple(field.read() for field in self.form),
                "parameters": self.parameters.read(),
            }
        )


_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")
]
"""Text without line breaks or other control characters."""


class ProductDocument(Document):
    """One product of a catalogue."""

    id: Annotated[int, Field(ge=1, le=MAX_INTEGER), NUMBER]
    name: Annotated[_Line, Field(max_length=200)]
    description: Annotated[Text, Field(min_length=1, max_length=4000)]
    price: Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=4)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    url: Annotated[_Line, Field(pattern=r"^https?://", max_length=2000)]
    attributes: Annotated[
        dict[Annotated[_Line, Field(max_length=64)], Annotated[_Line, Field(max_length=500)]],
        Field(max_length=50),
    ] = {}
    stock: Annotated[int, Field(ge=0, le=MAX_INTEGER), NUMBER]

    def read(self) -> Product:
        """The product that this says."""
        return Product(**self.model_dump())


def app_document(app: App) -> dict[str, Any]:
    """An app as a document that `AppDocument` reads; without what says nothing."""
    return _stated(asdict(app))


def persona_document(content: PersonaContent) -> dict[str, Any]:
    """A persona's content as a document that `PersonaDocument` reads."""
    return {"system_prompt": content.system_prompt} | _stated(asdict(content))


def _stated(value: dict[str, Any]) -> dict[str, Any]:
    stated = {name: _value(each) for name, each in value.items()}
    return {
        name: each
        for name, each in stated.items()
        if each is not False and each not in (None, (), "", {})
    }


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return _stated(value)
    if isinstance(value, list | tuple):
        return tuple(_value(each) for each in value)
    return value
