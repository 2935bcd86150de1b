"""The pages that are the project's own files: README, its Chinese sister, CONTRIBUTING."""

import re

SOURCES = {
    "index.md": "README.md",
    "index.zh.md": "README.zh-CN.md",
    "contributing.md": "CONTRIBUTING.md",
}

# The pages of concepts, in the order in which one learns them.
CONCEPTS = [
    "network_structure",
    "activations",
    "initialization",
    "losses_optimizers",
    "regularization",
    "convolution",
    "residual",
    "vision_attention",
    "transfer",
    "speed",
    "recurrent",
    "lstm_text",
    "transformer",
    "gan",
    "contrastive",
    "pretext",
    "mixed_precision",
    "distillation",
    "pruning",
    "automl",
    "gradients",
]

LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")


def rewritten(text, root):
    """Returns a file of the project with its links pointing to the pages of the site."""

    def link(match):
        picture, label, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        place = page_of(path)
        if place is None:  # a file that has no page keeps its name
            return label if picture == "" else ""
        return f"{picture}[{label}]({place}{'#' + anchor if anchor else ''})"

    return LINK.sub(link, text)


def page_of(path):
    """Returns the page that shows a file of the project, or None."""
    for page, source in SOURCES.items():
        if path == source:
            return page
    recipe = re.fullmatch(r"recipes/\w+/(\w+)\.py", path)
    if recipe:
        return f"recipes/{recipe[1]}.md"
    figure = re.fullmatch(r"saved_models/(\w+)/figure\.png", path)
    if figure:
        return f"recipes/figures/{figure[1]}.png"
    if path == "benchmarks/":
        return "benchmarks.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else None
