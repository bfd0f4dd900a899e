"""Server-sent events as a client reads them."""


def data(stream: str) -> list[str]:
    """What the events of a stream say, each on one line; ids and comments are left out."""
    return [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
