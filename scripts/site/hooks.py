"""What mkdocs does beyond mkdocs.yml: numbers from results, generated pages, two languages."""

import logging
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from kerasdnn import catalog  # noqa: E402
from kerasdnn.errors import InputError  # noqa: E402

import home  # noqa: E402
import placeholders  # noqa: E402
import recipe_pages  # noqa: E402
import reference  # noqa: E402
import tables  # noqa: E402
from mkdocs.structure.files import File  # noqa: E402

# Under mkdocs' own name, so that `--strict` fails on it.
LOG = logging.getLogger("mkdocs.kerasdnn")
CHINESE = ".zh.md"


def on_config(config):
    """Fills the entries of the menu that name a folder: `- Concepts: concepts/`."""
    config.nav = [_filled(item, Path(config.docs_dir)) for item in config.nav]
    config.nav = [item for item in config.nav if item]
    return config


def _filled(item, docs):
    ((title, target),) = item.items()
    if isinstance(target, list):
        return {title: [made for part in target if (made := _filled(part, docs))]}
    if target == "reference/":
        folders = [
            {f"kerasdnn.{m}": [f"reference/{m}/index.md", *_names(m)]} for m in reference.modules()
        ]
        return {title: ["reference/index.md", *folders]}
    if target == "recipes/":
        found = [{e.name: f"recipes/{e.name}.md"} for e in _ordered(docs)]
        return {title: ["recipes/index.md", *found]}
    if target in ("concepts/", "concepts/*.zh.md"):
        suffix = CHINESE if target.endswith(CHINESE) else ".md"
        names = [f"concepts/{name}{suffix}" for name in ("index", *home.CONCEPTS)]
        found = [n for n in names if (docs / n).is_file()]
        if suffix == CHINESE and found:  # mkdocs makes an index.md the page of its menu, no other
            found[0] = {"总览": found[0]}
        return {title: found} if found else None
    exists = (docs / target).is_file() or target in GENERATED or target == "index.zh.md"
    if target == "index.zh.md" and not (ROOT / "README.zh-CN.md").is_file():
        exists = False
    return item if exists else None


GENERATED = ("index.md", "benchmarks.md", "contributing.md")


def _names(module):
    return [f"reference/{module}/{name}.md" for name in reference.public_names(module)]


def _ordered(docs):
    """Returns the recipes in the order of the concepts that they show."""
    order = [
        name
        for concept in home.CONCEPTS
        if (docs / "concepts" / f"{concept}.md").is_file()
        for name in recipe_pages.recipes_of((docs / "concepts" / f"{concept}.md").read_text())
    ]
    return sorted(
        catalog.entries(),
        key=lambda e: (order.index(e.name) if e.name in order else len(order), e.topic, e.name),
    )


def on_files(files, config):
    """Adds the pages, figures and notebooks that do not lie in docs/."""
    docs = Path(config.docs_dir)

    def page(path, text):
        files.append(File.generated(config, path, content=text))

    def copy(path, source):
        files.append(File.generated(config, path, abs_src_path=str(source)))

    about = {}
    for concept in home.CONCEPTS:
        source = docs / "concepts" / f"{concept}.md"
        text = source.read_text(encoding="utf-8") if source.is_file() else ""
        for name in recipe_pages.recipes_of(text):
            about.setdefault(name, []).append(
                (recipe_pages.title_of(text), f"concepts/{concept}.md")
            )
    ordered = _ordered(docs)
    page("recipes/index.md", recipe_pages.gallery(ordered))
    for entry in ordered:
        page(f"recipes/{entry.name}.md", recipe_pages.page(entry, about.get(entry.name, ())))
        if recipe_pages.has_figure(entry):
            figure = catalog.results_folder() / entry.name / "figure.png"
            copy(f"recipes/figures/{entry.name}.png", figure)
        copy(f"recipes/notebooks/{entry.name}.ipynb", ROOT / "notebooks" / f"{entry.name}.ipynb")
    for path, text in reference.pages():
        page(path, text)
    page("benchmarks.md", tables.benchmarks())
    for path, source in home.SOURCES.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            page(path, home.rewritten(text, ROOT))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fills the numbers of a page and links it to the same page in the other language."""
    source = page.file.src_uri
    if source.startswith(("recipes/", "reference/")) or source == "contributing.md":
        return markdown
    chinese = source.endswith(CHINESE)
    try:
        markdown = placeholders.fill(markdown, language="zh" if chinese else "en")
    except InputError as error:
        LOG.warning("%s: %s", source, error)
    other = source.removesuffix(CHINESE) + ".md" if chinese else source[:-3] + CHINESE
    target = f"({other.rpartition('/')[2]})"
    if other in files.src_uris and target not in markdown[:300]:
        markdown = f"[{'English' if chinese else '中文'}]{target}\n\n{markdown}"
    return markdown


def on_post_page(output, page, config):
    """Says in the page itself which language it is in: browsers choose fonts and breaks by it."""
    if page.file.src_uri.endswith(CHINESE):
        output = re.sub(r'<html lang="[^"]*"', '<html lang="zh-CN"', output, count=1)
    return output.replace(" ± ", "\u00a0±\u00a0")  # a number and its deviation stay on one line
