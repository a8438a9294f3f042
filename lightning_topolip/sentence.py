"""One sentence from an error: this package's own, or what the parser of the command says on many lines."""

from __future__ import annotations

import re

__all__ = ["own_sentence", "parser_sentence"]

_STARTS = ("Argument `", "Arguments `", "Layer ", "A point cloud ")
_WRAPPERS = ("Does not validate", "Parser key", "Problem with", "Caught ")

# Lines of jsonargparse that only say where the problem is.
_FRAME = ("Does not validate", "Subtypes:", "Errors:", "Expected a path but", "Expected a <class 'NoneType'>")
_KEY = re.compile(r'Parser key "([^"]+)":')
_CLASS = re.compile(r"Problem with given class_path '([^']+)':")
_GIVEN = re.compile(r"(?:Got|Given) value: (.*)")
_EXPECTED = re.compile(r"Expected an? (<class '[\w.]+'>|typing\.Literal\[.*?\])")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "NoneType": "null",
    "list": "a list",
    "dict": "a mapping",
    "collections.abc.Mapping": "a mapping",
    "collections.abc.Sequence": "a list",
}
_UNKNOWN = re.compile(
    r"(?:Option '|(?:Subcommand|Group) '[^']*' does not accept option '|unrecognized arguments: -*)([^\s'=]+)"
)
_MISSING = re.compile(r"the following arguments are required: ([^\s,]+)")
_NAMED = re.compile(r"(?:import path string:|Import path) (\S+)")
_NO_CLASS = re.compile(r"Expected a dot import path|module '.*' has no attribute|No module named|.*not correspond to a")


def own_sentence(error: Exception) -> str:
    r"""Return the sentence in an error of this package, also one that a worker or the parser wraps; otherwise nothing.

    Example:
        >>> own_sentence(ValueError("Does not validate\nErrors:\n  - Argument `x` must be 1, got 2.\nGiven value: 2"))
        'Argument `x` must be 1, got 2.'
        >>> own_sentence(ValueError("shapes differ"))
        ''
    """
    lines = str(error).strip().splitlines() or [""]
    if not lines[0].startswith(_WRAPPERS):
        lines = lines[-1:]
    sentences = (re.sub(r"^(- )?(\w+Error: )?", "", line.strip()) for line in lines)
    return next((text for text in sentences if text.startswith(_STARTS) or "pip install" in text), "")


def parser_sentence(message: str, program: str) -> str:
    r"""Return one sentence for an error of the parser, with the argument, what is allowed and what came.

    Args:
        message: The text of jsonargparse or argparse.
        program: The words before the arguments, such as ``topolip fit``; nothing for the fields of a file.

    Example:
        >>> parser_sentence('Parser key "workers":\n  Expected a <class \'int\'>. Got value: two', "topolip study")
        "Argument `workers` must be a whole number, got 'two'."
    """
    own = own_sentence(ValueError(message))
    if own:
        return own
    argument, class_path, problem, rest = _innermost(message)
    command = f"{program.rpartition(' ')[2]}."
    argument = argument.removeprefix(command)
    if _NO_CLASS.match(problem):
        return _no_class(argument, class_path, problem, rest)
    if option := _UNKNOWN.match(problem):
        return _unknown(_joined(argument, option[1]), class_path, argument, program)
    if name := _MISSING.match(problem):
        first = _joined(argument, name[1].removeprefix(command))
        needed = f" for {class_path}" if class_path else ""
        return f"Argument `{first}` must be given{needed}, got none; add it{f' as --{first}' * bool(program)}."
    whole = " ".join(message.split()).rstrip(".")
    advice = f"; `{program} --help` lists the options" if program else ""
    return _wrong_value(argument, problem, rest) or f"{whole}{advice}."


def _innermost(message: str) -> tuple[str, str, str, str]:
    """The argument's full name, the class that it belongs to, the first problem, and the text from there on."""
    keys: list[str] = []
    class_path = ""
    lines = message.splitlines()
    for number, line in enumerate(lines):
        text = line.strip().removeprefix("- ")
        if key := _KEY.match(text):
            keys.append(key[1])
            text = text[key.end() :].strip()
        elif of_class := _CLASS.match(text):
            class_path = of_class[1]
            text = text[of_class.end() :].strip()
        if text and not text.startswith(_FRAME):
            return ".".join(keys), class_path, text, "\n".join(lines[number:])
    return ".".join(keys), class_path, "", ""


def _no_class(argument: str, class_path: str, problem: str, rest: str) -> str:
    named = _GIVEN.search(rest) or _NAMED.search(problem)
    source = class_path or (named[1] if named else "")
    return (
        f"Argument `{argument}` must name a class, got {source!r} ({problem}); give the full path, such as "
        "lightning_topolip.models.ViTClassifier, or the name alone of a bundled model or data module."
    )


def _unknown(argument: str, class_path: str, owner: str, program: str) -> str:
    if not program:
        return f"Argument `{argument}` must be a known field, got an unknown name; check its spelling and its place."
    known = f"an argument of {class_path}" if class_path else f"an option of `{program}`"
    question = f"{program} --{owner}.help {class_path}" if class_path else f"{program} --help"
    return f"Argument `{argument}` must be {known}, got an unknown name; `{question}` lists them."


def _wrong_value(argument: str, problem: str, rest: str) -> str:
    """The sentence for a value of another type or a file that does not exist; nothing for other problems."""
    if path := re.match(r"(?:File does not exist|Path is not a file): (.+)", problem):
        return f"Argument `{argument}` must be an existing file, got {path[1]}; check the path."
    given = _GIVEN.search(rest)
    if not given or not _EXPECTED.match(problem):
        return ""
    kinds = dict.fromkeys(_kind(text) for text in _EXPECTED.findall(rest[: given.start()]))
    return f"Argument `{argument}` must be {' or '.join(kinds)}, got {given[1]!r}."


def _joined(argument: str, name: str) -> str:
    return f"{argument}.{name}" if argument else name


def _kind(expected: str) -> str:
    if expected.startswith("typing.Literal"):
        return f"one of {expected.removeprefix('typing.Literal[').removesuffix(']')}"
    name = expected.removeprefix("<class '").removesuffix("'>")
    return _KINDS.get(name, name)
