"""Real English text that comes with Python: the sentences of its language reference."""

import re
from pydoc_data.topics import topics


def sentences(shortest: int = 40, longest: int = 160) -> list[str]:
    """The different sentences of the language reference within these lengths, in their order."""
    paragraphs = (" ".join(text.split()) for topic in topics.values() for text in re.split(r"\n\s*\n", topic))
    parts = (part for text in paragraphs for part in re.split(r"(?<=[.!?]) (?=[A-Z])", text))
    return list(dict.fromkeys(part for part in parts if shortest <= len(part) <= longest))
