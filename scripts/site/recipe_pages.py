"""A page a recipe and the gallery, from the recipe's file and its committed results."""

import html
import re

from kerasdnn import catalog, console

import card_picture
import placeholders

FILES_WRITTEN = """\
| file in `runs/{name}/<time>/` | what |
|---|---|
| `result.json` | the table, every seed's value, data, versions, machine |
| `history.csv` | a line an epoch, row and seed |
| `config.json`, `source.py` | the settings and the file as they were |
| `figure.png` | the figure above |
| `weights-seed<k>.npz`, `model.keras` | the technique's weights, a seed each; a whole model |
"""


def variants(entry):
    """Returns the committed results of a recipe: "" is the default, then its variants."""
    files = sorted((catalog.results_folder() / entry.name).glob("result*.json"))
    return sorted(file.stem.removeprefix("result").removeprefix("-") for file in files)


def device(result):
    """Returns where a result was made, in a few words."""
    machine = result["machine"]
    if machine.get("accelerator"):
        return str(machine["accelerator"])
    return f"CPU ({machine['cpu']}), {machine['cores']} cores"


def has_figure(entry):
    return (catalog.results_folder() / entry.name / "figure.png").is_file()


def concepts(entry):
    """Returns the concepts that a recipe shows, in the words of its docstring."""
    text = entry.fields.get("Concept", "")
    return [part.strip() for part in re.split(r";(?![^(]*\))", text) if part.strip()]


def verdict(result):
    """Returns what the recipe said of its own result, with its gate."""
    if result["passed"] is None:
        return "no gate"
    reached = "passed" if result["passed"] else "failed"
    return f"gate {console.number(result['gate'])}: {reached}"


def page(entry, concept_pages):
    """Returns the Markdown of the page of one recipe; `concept_pages` are (title, path)."""
    fields = entry.fields
    about = [f"`{entry.topic}/{entry.name}.py` · shows {fields['Shows']}."]
    links = [f"[{title}](../{path})" for title, path in concept_pages]
    facts = [
        ("Concept", ", ".join(links) or fields["Concept"]),
        ("Paper", _linked(fields["Paper"])),
        ("Data", fields["Data"]),
        ("Published", fields["Target"]),
        ("Settings to change", fields["Change"]),
    ]
    parts = [f"# {entry.title}", *about, _rows(facts), "## Result"]
    for variant in variants(entry):
        parts.append(table(entry, variant))
    if not variants(entry):
        parts.append(placeholders.PENDING["en"])
    if has_figure(entry):
        parts.append(f"![Learning curves and results of {entry.name}](figures/{entry.name}.png)")
    parts += [
        "## Run it",
        f"```bash\nkerasdnn run {entry.name} --quick       # under 30 s: few data, no gate\n"
        f"kerasdnn run {entry.name}               # the whole run\n"
        f"kerasdnn show {entry.name} > mine.py    # the file below, yours to change\n```",
        f"As a notebook: [{entry.name}.ipynb](notebooks/{entry.name}.ipynb).",
        "## Files it writes",
        FILES_WRITTEN.format(name=entry.name),
        "## The script { data-search-exclude }",
        "```python\n" + entry.path.read_text(encoding="utf-8").rstrip() + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def table(entry, variant):
    """Returns the table of one committed result, with its target, data and machine."""
    result = entry.result(variant)
    rows = [dict(row) for row in result["rows"]]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"### {variant}\n"] if variant else []
    heads = [result["metric"].replace("_", " ") if c == "value" else c for c in columns]
    lines += ["| " + " | ".join(h.replace("_", " ") for h in heads) + " |"]
    lines.append("|" + "---|" * len(columns))
    for row in rows:
        lines.append("| " + " | ".join(_cell(c, row.get(c)) for c in columns) + " |")
    if result["target"] and not variant:  # a published figure is one of the default data
        target = {"name": "published", "value": result["target"]["value"]}
        lines.append("| " + " | ".join(_cell(c, target.get(c)) for c in columns) + " |")
    data = result["data"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines.append(
        f"\n{verdict(result)}; {data['name']}, {data['n_train']:,} to learn from, "
        f"{data['n_test']:,} to test; {result['minutes']:.1f} minutes a training; "
        f"{device(result)}; {result['backend']} backend; {versions}.\n"
    )
    return "\n".join(lines)


def _cell(column, value):
    text = console.cell(column, value)
    return text.replace("|", "\\|").replace("<", "&lt;")


def _rows(pairs):
    return "\n".join(f"- **{name}**: {value}" for name, value in pairs)


def _linked(text):
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def gallery(entries):
    """Returns the Markdown of the gallery: a card a recipe, and the fields that filter them."""
    names = sorted({c for entry in entries for c in concepts(entry)}, key=str.lower)
    options = "".join(f'<option value="{html.escape(n)}">{html.escape(n)}</option>' for n in names)
    cards = "\n".join(card(entry) for entry in entries)
    return f"""---
hide: [navigation, toc]
---

# Gallery

What each recipe reached on its test set, beside its control, the same training without the
technique, and a published figure. Every number comes from a committed run.

<div class="gallery-filter">
<label>Concept
<select id="gallery-concept"><option value="">all</option>{options}</select></label>
<label>Words <input id="gallery-words" type="search" placeholder="attention, signal…"></label>
<output id="gallery-count" aria-live="polite"></output>
</div>
<div class="gallery">
{cards}
</div>
"""


def card(entry):
    """Returns the HTML of one card."""
    escape = html.escape
    result = entry.result()
    link = f"{entry.name}.html"
    if result is None:
        picture = f'<span class="gallery-blank">{escape(entry.topic)}</span>'
    else:
        picture = card_picture.svg(result)
    shown = "".join(f'<li class="gallery-concept">{escape(c)}</li>' for c in concepts(entry))
    if result is None:
        numbers = placeholders.PENDING["en"]
    else:
        numbers = _numbers(entry, result)
    words = " ".join([entry.name, entry.topic, entry.title, *entry.fields.values()]).lower()
    return (
        f'<article class="gallery-card" data-concepts="{escape("|".join(concepts(entry)))}" '
        f'data-words="{escape(words)}">'
        f'<a class="gallery-picture" href="{link}">{picture}</a>'
        f'<h2><a href="{link}">{escape(entry.title)}</a></h2>'
        f"<ul>{shown}</ul>{numbers}</article>"
    )


def _numbers(entry, result):
    facts = [(result["metric"].replace("_", " "), placeholders.result(entry.name))]
    if result["control"] is not None:
        facts.append(("control", console.number(result["control"])))
    if result["target"]:
        facts.append(("published", console.number(result["target"]["value"])))
    facts += [
        ("verdict", verdict(result)),
        ("minutes", f"{result['minutes']:.1f} a training"),
        ("data", placeholders.result(entry.name, "data")),
        ("device", device(result)),
    ]
    extra = [v for v in variants(entry) if v]
    if extra:
        facts.append(("also on", ", ".join(extra)))
    rows = "".join(f"<dt>{html.escape(n)}</dt><dd>{html.escape(v)}</dd>" for n, v in facts)
    return f"<dl>{rows}</dl>"


def recipes_of(markdown):
    """Returns the recipes that a concept page names in its front matter."""
    match = re.search(r"^recipes: *(\[[^\]]*\])", markdown, re.MULTILINE)
    return (
        [name.strip() for name in match[1].strip("[]").split(",") if name.strip()] if match else []
    )


def title_of(markdown):
    """Returns the first heading of a page, or the title in its front matter."""
    match = re.search(r'^title: *"?(.*?)"?$', markdown, re.MULTILINE)
    match = match or re.search(r"^# +(.*?)(?: *\{.*\})?$", markdown, re.MULTILINE)
    return match[1] if match else ""
