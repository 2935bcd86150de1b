"""What mkdocs does beyond mkdocs.yml: numbers from results, generated pages, two languages."""

import logging
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from kerasdnn.errors import InputError  # noqa: E402

import placeholders  # noqa: E402

# Under mkdocs' own name, so that `--strict` fails on it.
LOG = logging.getLogger("mkdocs.kerasdnn")
CHINESE = ".zh.md"


def on_page_markdown(markdown, page, config, files):
    """Fills the numbers of a page and links it to the same page in the other language."""
    source = page.file.src_uri
    chinese = source.endswith(CHINESE)
    pending = placeholders.PENDING_CHINESE if chinese else placeholders.PENDING
    try:
        markdown = placeholders.fill(markdown, pending=pending)
    except InputError as error:
        LOG.warning("%s: %s", source, error)
    other = source.removesuffix(CHINESE) + ".md" if chinese else source[:-3] + CHINESE
    link = f"[{'English' if chinese else '中文'}]({other.rpartition('/')[2]})"
    if other in files.src_uris and not markdown.lstrip().startswith(link):
        markdown = f"{link}\n\n{markdown}"
    return markdown


def on_post_page(output, page, config):
    """Says in the page itself which language it is in: browsers choose fonts and breaks by it."""
    if page.file.src_uri.endswith(CHINESE):
        output = re.sub(r'<html lang="[^"]*"', '<html lang="zh-CN"', output, count=1)
    return output
