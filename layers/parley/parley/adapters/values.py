"""Events, connections and jobs as JSON text, and back."""

from typing import Any, Generic, TypeVar, get_args

from pydantic import TypeAdapter

from parley.domain.sockets import ChatEvent, Connection, Job

T = TypeVar("T")


class TaggedUnion(Generic[T]):
    """Any of some dataclasses as JSON text beside the name of its class."""

    def __init__(self, union: Any) -> None:
        self._adapters: dict[str, TypeAdapter[T]] = {
            kind.__name__: TypeAdapter(kind) for kind in get_args(union)
        }

    def dump(self, value: T) -> tuple[str, str]:
        """The name of the value's class, and the value as JSON text."""
        name = type(value).__name__
        return name, self._adapters[name].dump_json(value).decode()

    def load(self, name: str, text: str) -> T:
        """The value that was dumped."""
        return self._adapters[name].validate_json(text)


events: TaggedUnion[ChatEvent] = TaggedUnion(ChatEvent)
jobs: TaggedUnion[Job] = TaggedUnion(Job)
connections: TypeAdapter[Connection] = TypeAdapter(Connection)
