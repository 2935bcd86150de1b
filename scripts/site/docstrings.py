"""Turns this project's docstrings into what griffe reads: examples and references as blocks."""

import re

import griffe

HEADING = re.compile(r"^(Examples?|References):\s*$")
ANY_HEADING = re.compile(r"^[A-Z][A-Za-z ]+:(\s|$)")


class OurDocstrings(griffe.Extension):
    """Called by griffe for every object it has read."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            obj.docstring.value = converted(obj.docstring.value)


def converted(text):
    """Returns a docstring whose `Example:` is a code block and whose `References:` is a list."""
    out, lines = [], text.splitlines()
    while lines:
        line = lines.pop(0)
        heading = HEADING.match(line)
        if not heading:
            out.append(line)
            continue
        body = []
        while lines and not ANY_HEADING.match(lines[0]):
            body.append(lines.pop(0))
        made = _references(body) if heading[1] == "References" else _example(body)
        out += [f"**{heading[1]}**", "", *made, ""]
    return "\n".join(out)


def _example(body):
    text = [line for line in "\n".join(body).strip("\n").splitlines()]
    indent = min((len(t) - len(t.lstrip()) for t in text if t.strip()), default=0)
    text = [t[indent:] for t in text]
    return text if text and text[0].startswith("```") else ["```pycon", *text, "```"]


def _references(body):
    items = []
    indent = min((len(b) - len(b.lstrip()) for b in body if b.strip()), default=0)
    for line in filter(str.strip, body):
        if len(line) - len(line.lstrip()) > indent and items:
            items[-1] += " " + line.strip()
        else:
            items.append(line.strip())
    linked = (
        re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", item)
        for item in items
    )
    return [f"- {item}" for item in linked]
