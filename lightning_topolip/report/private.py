"""What a page does not show: where files lie on the machine of the study, and the addresses of its cluster."""

from __future__ import annotations

import re
from typing import Any

_VALUE = r"(?:'[^']*'|\"[^\"]*\"|\S+)"
_REPLACED = (
    (re.compile(rf"(--(?:images|output)[ =]){_VALUE}"), r"\1PATH"),
    (re.compile(rf"(--cluster[ =]){_VALUE}"), r"\1ADDRESS"),
    (re.compile(r"\b(?:tcp|tls|ucx|wss?)://[^\s'\",;]+"), "ADDRESS"),
    (re.compile(r"(['\"])(?:~?/|[A-Za-z]:[/\\])(?!/)[^'\"\n]*\1"), r"\1PATH\1"),
    (re.compile(r"(?<![\w./\\<>*)}\]-])(?:~?/|[A-Za-z]:[/\\])(?![/\s])[^\s'\",;:()<>\[\]{}]*[\w/\\]"), "PATH"),
)


def without_paths(content: Any) -> Any:
    """Replace absolute paths, the folders of a command and addresses in all texts of a JSON document.

    Example:
        >>> without_paths("topolip study --config examples/depth.yaml --images '/home/me/my images' --workers 2")
        'topolip study --config examples/depth.yaml --images PATH --workers 2'
        >>> without_paths({"root": "/data/cifar10", "note": ["1/255 and https://arxiv.org/abs/2410.17628"]})
        {'root': 'PATH', 'note': ['1/255 and https://arxiv.org/abs/2410.17628']}
    """
    if isinstance(content, dict):
        return {name: without_paths(value) for name, value in content.items()}
    if isinstance(content, list):
        return [without_paths(value) for value in content]
    if not isinstance(content, str):
        return content
    for pattern, stand_in in _REPLACED:
        content = pattern.sub(stand_in, content)
    return content
