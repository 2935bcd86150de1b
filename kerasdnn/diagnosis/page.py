"""The report as one page that needs nothing else: no scripts, no files, no network."""

import html
from pathlib import Path

from kerasdnn import __version__, catalog
from kerasdnn.diagnosis.charts import heat_map, line_chart, number
from kerasdnn.errors import InputError

MATRICES = (
    ("gradient_norm", "Gradient norm", "Fades to the top: vanishing. Grows: exploding.", True),
    ("update_ratio", "Update over weight, a step", "About 1e-3 is usual.", True),
    ("activation_std", "Spread of the outputs", "Should stay of one order over the layers.", True),
    ("dead_share", "Dead units", "Share of the units that no sample switches on.", False),
    ("saturated_share", "Saturated outputs", "Share of the values at a flat end.", False),
)
STYLE = Path(__file__).with_name("page.css")


def page(report, headline):
    """Returns the HTML text of a `Report`; `headline` is its one sentence."""
    title = html.escape(f"Diagnosis of {report.program.get('model', 'a training')}")
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>",
        f"<header><h1>{title}</h1><p>{html.escape(headline)}</p>",
        _facts(report.program),
        "</header>",
        _findings(report),
        _section("Curves", _curves(report.curves)),
        _section("Layers over time", _heat_maps(report.layers)),
        _section("What was looked at", _passes(report)),
        f"<footer>kerasdnn {__version__}</footer></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _section(title, content):
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _facts(program):
    items = [
        f"<div><dt>{html.escape(name.replace('_', ' '))}</dt><dd>{_value(value)}</dd></div>"
        for name, value in program.items()
        if value is not None and name != "model"
    ]
    return f'<dl class="facts">{"".join(items)}</dl>' if items else ""


def _findings(report):
    if not report.findings:
        return _section("Findings", "<p>Nothing was found.</p>")
    return _section("Findings", "".join(map(_finding, report.findings, range(1, 1000))))


def _finding(finding, place):
    evidence = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{_value(value)}</td></tr>"
        for name, value in finding.evidence.items()
        if value is not None
    )
    where = f"<p>Where: <b>{html.escape(finding.location)}</b></p>" if finding.location else ""
    remedy = f"<pre>{html.escape(finding.remedy)}</pre>" if finding.remedy else ""
    return (
        f'<article class="{finding.severity}" id="{html.escape(finding.id)}"><h3>'
        f"<span>{place}. {html.escape(finding.id)}</span>"
        f'<span class="badge">{finding.severity}, confidence {finding.confidence:.0%}</span></h3>'
        f"<p>{html.escape(finding.message)}</p>{where}{remedy}"
        f"{f'<table>{evidence}</table>' if evidence else ''}{_recipe(finding.recipe)}</article>"
    )


def _recipe(name):
    if not name:
        return ""
    try:
        place = catalog.find(name).path.resolve().as_uri()
    except InputError:  # a report from another version
        return ""
    shown = html.escape(name)
    return (
        f'<p class="soft">Demonstrated by the recipe <a href="{html.escape(place)}">{shown}</a>: '
        f"<code>kerasdnn show {shown}</code></p>"
    )


def _value(value):
    if isinstance(value, list):
        shown = ", ".join(_value(item) for item in value[:12])
        return f"{shown}, …" if len(value) > 12 else shown
    if isinstance(value, dict):
        return ", ".join(f"{html.escape(str(k))}: {_value(v)}" for k, v in value.items())
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value) if isinstance(value, float) else f"{value:,}"
    return html.escape(str(value))


def _curves(curves):
    charts, left = [], dict(curves)
    for name in list(left):
        if name not in left or name.startswith("val_"):
            continue
        lines = [(name, left.pop(name))]
        if f"val_{name}" in left:
            lines.append((f"val_{name}", left.pop(f"val_{name}")))
        charts.append(line_chart(_title(name), lines))
    charts += [line_chart(_title(name), [(name, values)]) for name, values in left.items()]
    charts = [chart for chart in charts if chart]
    return f'<div class="grid">{"".join(charts)}</div>' if charts else ""


def _title(name):
    if name.endswith("_step"):
        return f"{name[:-5].replace('_', ' ')} within the epochs"
    return f"{'learning rate' if name == 'rate' else name.replace('_', ' ')} by epoch"


def _heat_maps(layers):
    names, times = layers.get("names", []), layers.get("time", [])
    maps = [
        heat_map(title, note, names, times, layers[key], log=log, share=not log)
        for key, title, note, log in MATRICES
        if layers.get(key)
    ]
    return f'<div class="grid">{"".join(maps)}</div>' if any(maps) else ""


def _passes(report):
    rows = "".join(
        f"<tr><th>{html.escape(item['name'])}</th><td>{item.get('seconds', 0.0):.2f} s "
        f"{html.escape(item.get('note') or '')}</td></tr>"
        for item in report.passes
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
    return (f"<table>{rows}</table>" if rows else "") + (f"<ul>{notes}</ul>" if notes else "")
