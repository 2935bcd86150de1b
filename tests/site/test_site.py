"""The built site: whole links, nothing from the network, fit for a phone."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kerasdnn import catalog

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "site"
pytest.importorskip("mkdocs", reason="`make docs` runs this")
if not (SITE / "index.html").is_file():
    pytest.skip("`make docs` builds the site", allow_module_level=True)

import browser as driving  # noqa: E402

PAGES = sorted(p for p in SITE.rglob("*.html") if p.name != "404.html")
SHOWN = ["index", "recipes/index", "recipes/mlp", "reference/layers/DropPath", "benchmarks"]
SHOWN += [p.relative_to(SITE).as_posix()[:-5] for p in PAGES if p.name.endswith(".zh.html")][:2]


class Links(HTMLParser):
    """Collects what a page links to, what it loads, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("img", "script", "iframe") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(found["href"])


@pytest.fixture(scope="module")
def parsed():
    return {page: Links(page.read_text(encoding="utf-8")) for page in PAGES}


def broken(parsed):
    """Yields every link and picture inside the site that leads nowhere."""
    for page, links in parsed.items():
        for target in [*links.links, *links.loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchors = parsed[path].anchors if path in parsed else None
            missing = anchors is not None and unquote(parts.fragment) not in anchors
            if not path.is_file() or (missing and parts.fragment[:2] != "__"):
                yield f"{page.relative_to(SITE)}: {target}"


def test_every_link_inside_leads_somewhere(parsed):
    assert list(broken(parsed)) == []


def test_the_check_sees_broken_links():
    page = SITE / "index.html"
    for text in ('<a href="no.html">', '<a href="#no">', '<img src="no.png">'):
        assert len(list(broken({page: Links(text)}))) == 1


def test_nothing_is_loaded_from_the_network(parsed):
    for page, links in parsed.items():
        assert not [a for a in links.loaded if urlsplit(a).netloc], page
    styles = [p for p in SITE.rglob("*.css")]
    assert not [p for p in styles if re.search(r"(@import|url\()\s*[\"']?https?:", p.read_text())]


def test_every_recipe_and_public_name_has_a_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "site"))
    import reference

    for entry in catalog.entries():
        assert (SITE / "recipes" / f"{entry.name}.html").is_file()
        assert (SITE / "recipes" / "notebooks" / f"{entry.name}.ipynb").is_file()
    names = [(m, n) for m in reference.modules() for n in reference.public_names(m)]
    assert len(names) > 80
    for module, name in names:
        text = (SITE / "reference" / module / f"{name}.html").read_text()
        assert f'id="{reference.place(module, name)}.{name}"' in text, (module, name)


def test_no_measured_number_is_written_by_hand():
    """A number with a deviation or three decimals in the prose of a page is a result."""
    allowed = {"faults.md", "diagnosis.md"}  # written whole by a script
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.name in allowed:
            continue
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"`[^`\n]*`|\{\{.*?\}\}|\]\([^)]*\)|arXiv:\S+", "", text)
        found += [f"{page.name}: {n}" for n in re.findall(STRAY, text)]
    assert found == []


STRAY = r"\b\d+\.\d+ ?±.*|\b0\.\d{3,}\b|\b\d{2}\.\d ?%"


def test_the_check_sees_a_stray_number():
    assert re.search(STRAY, "it reaches 0.9426 on")
    assert re.search(STRAY, "94.3 % of")
    assert not re.search(STRAY, "a rate of 0.01, 1.5 times")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (driving.CHROMIUM and driving.DRIVER):
        pytest.skip("needs chromium: apt-get install chromium chromium-driver")
    window = driving.Browser(tmp_path_factory.mktemp("profile"))
    yield window
    window.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_report_no_error(browser, width):
    browser.width(width)
    for name in SHOWN:
        browser.open((SITE / f"{name}.html").as_uri())
        wide = browser.run("return document.documentElement.scrollWidth")
        assert wide <= width, name
        unseen = "return [...document.images].filter(i => i.complete && !i.naturalWidth).length"
        assert browser.run(unseen) == 0, name
        assert browser.console() == [], name


@pytest.mark.parametrize("width", [1280, 390])
def test_the_gallery_filters(browser, width):
    browser.width(width)
    browser.open((SITE / "recipes" / "index.html").as_uri())
    visible = "[...document.querySelectorAll('.gallery-card')].filter(c => c.offsetHeight).length"
    assert browser.run(f"return {visible}") == len(catalog.entries())
    change = (
        "const s = document.getElementById('{0}'); s.value = '{1}'; "
        "s.dispatchEvent(new Event('{2}')); return " + visible
    )
    same = sum(e.fields["Concept"] == "network structure" for e in catalog.entries())
    assert browser.run(change.format("gallery-concept", "network structure", "change")) == same
    assert browser.run(change.format("gallery-concept", "", "change")) == len(catalog.entries())
    assert browser.run(change.format("gallery-words", "gru_signal", "input")) == 1
    assert browser.run(change.format("gallery-words", "no such words", "input")) == 0


@pytest.mark.parametrize(
    ("words", "page"),
    [("DropPath", "reference/layers/DropPath.html"), ("梯度消失", "concepts/gradients.zh.html")],
)
def test_search_answers_from_the_file_system(browser, words, page):
    browser.width(1280)
    browser.open((SITE / "index.html").as_uri())
    browser.run(
        f"const i = document.querySelector('.md-search__input'); i.focus(); i.value = '{words}';"
        "i.dispatchEvent(new Event('input', {bubbles: true}));"
        "i.dispatchEvent(new Event('keyup', {bubbles: true}));"
    )
    hrefs = "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href).join(' ')"
    assert page in browser.until(f"return {hrefs}").split("?")[0]  # the first one
    assert browser.console() == []


def test_a_card_draws_technique_control_and_published(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "site"))
    import card_picture

    rows = [{"name": f"row <{i}>", "value": i / 10} for i in range(9)]
    result = {"recipe": "r", "metric": "test_accuracy", "value": 0.8, "control": 0.7, "rows": rows}
    drawn = card_picture.svg({**result, "target": {"value": 0.75}})
    names = re.findall(r'text-anchor="end">row &lt;(\d)&gt;<', drawn)
    assert names == ["0", "1", "2", "3", "7", "8"]  # the first ones, the control, the technique
    places = [float(x) for x in re.findall(r'<circle class="card-\w+" cx="([\d.]+)"', drawn)]
    assert places == sorted(places)
    assert drawn.count("card-got") == 1
    published = float(re.search(r'card-published" d="M([\d.]+)', drawn)[1])
    assert places[-2] < published < places[-1]
    assert "card-published" not in card_picture.svg({**result, "target": None})
