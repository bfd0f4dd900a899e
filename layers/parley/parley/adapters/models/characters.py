"""Whole characters out of pieces that JSON may have cut in two."""


class WholeCharacters:
    """Joins the halves of characters that arrive in different pieces of one text.

    JSON writes a character beyond the Basic Multilingual Plane as two escapes, and a server that
    cuts its text between them sends two lone surrogates, which no UTF-8 can carry.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """What is whole so far; a half whose other half never comes is replaced by U+FFFD."""
        text = self._half + piece
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)


def whole(text: str) -> str:
    """The text with the halves in it joined, or replaced by U+FFFD where they are alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
