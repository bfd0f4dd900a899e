"""Bodies as this API's own documentation writes them."""

import json
import re

_MEMBER = re.compile(r'"(?:[^"\\]|\\.)*"\s*:')
"""The name of an object's member and its colon."""

MOST_COMMAS = 8


def mend(body: str) -> str:
    """The body with the commas that are missing before members, where nothing else is wrong.

    The API's documentation has an example that begins a session with the body

        { "persona": { "persona_id": 1, "version_type": "next" }
        "message" : "Talk to me" }

    and whoever pastes it shall get a session. Whatever isn't mended by commas alone is returned as
    it came, to be refused as it is.
    """
    mended = body
    for _ in range(MOST_COMMAS + 1):
        try:
            json.loads(mended)
        except json.JSONDecodeError as error:
            missing = error.msg == "Expecting ',' delimiter" and _MEMBER.match(mended, error.pos)
            if not missing:
                return body
            mended = f"{mended[: error.pos]},{mended[error.pos :]}"
        except (ValueError, RecursionError):  # such as a number of 5000 digits
            return body
        else:
            return mended
    return body
