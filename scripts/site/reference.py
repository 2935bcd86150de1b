"""Which names are public, and their pages; the files are read, not imported."""

import ast

from kerasdnn import catalog

PACKAGE = catalog.recipes_folder().parent / "kerasdnn"
FIRST = ("layers", "losses", "optimizers", "callbacks", "models", "metrics")  # in the menu


def modules():
    """Returns the public modules of kerasdnn, those that most people look for first."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    names = ast.literal_eval(_assigned(tree, "_SUBMODULES"))
    return [*FIRST, *(n for n in names if n not in FIRST), "recipe"]


def public_names(module):
    """Returns the public names of a module: its `__all__`, else what it defines."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    homes = _assigned(tree, "_HOMES")
    listed = homes if homes is not None else _assigned(tree, "__all__")
    if listed is not None:
        return sorted(ast.literal_eval(listed), key=str.lower)
    kinds = (ast.FunctionDef, ast.ClassDef)
    return sorted(n.name for n in tree.body if isinstance(n, kinds) and n.name[0] != "_")


def place(module, name):
    """Returns the module that defines a public name, as `kerasdnn.layers.residual`."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    homes = _assigned(tree, "_HOMES")
    if homes is not None:
        home = ast.literal_eval(homes)[name]
        return home if home.startswith("kerasdnn.") else f"kerasdnn.{module}.{home}"
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module
    return f"kerasdnn.{module}"


def summary(module, name):
    """Returns the first sentence of the docstring of a public name."""
    path = PACKAGE.parent / (place(module, name).replace(".", "/") + ".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if getattr(node, "name", None) == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def about(module):
    """Returns the docstring's first paragraph of a public module."""
    text = ast.get_docstring(ast.parse(_file(module).read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0]


def pages():
    """Yields path and Markdown of the reference: a page a module, a page a name."""
    rows = [f"| [kerasdnn.{m}]({m}/index.md) | {_plain(about(m))} |" for m in modules()]
    yield (
        "reference/index.md",
        "# Reference\n\n| module | what |\n|---|---|\n" + "\n".join(rows) + "\n",
    )
    for module in modules():
        names = public_names(module)
        lines = [f"| [{n}]({n}.md) | {_plain(summary(module, n))} |" for n in names]
        yield (
            f"reference/{module}/index.md",
            f"# kerasdnn.{module}\n\n{about(module)}\n\n| name | what |\n|---|---|\n"
            + "\n".join(lines)
            + "\n",
        )
        for name in names:
            yield (
                f"reference/{module}/{name}.md",
                f"---\ntitle: {name}\nhide: [toc]\n---\n\n::: {place(module, name)}.{name}\n",
            )


def _plain(text):
    return " ".join(text.split()).replace("|", "\\|")


def _file(module):
    path = PACKAGE / f"{module}.py"
    return path if path.is_file() else PACKAGE / module / "__init__.py"


def _assigned(tree, name):
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return node.value
    return None
