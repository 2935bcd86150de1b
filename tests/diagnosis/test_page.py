import json
import re
import shutil
import subprocess

from kerasdnn.diagnosis import Finding, Report

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def example():
    names = [f"stage_{i}_a_layer_with_a_long_name" for i in range(12)]
    times = np.linspace(0.1, 5, 20).tolist()
    gradients = [[10.0 ** (i - 12) * (1 + t) for i in range(12)] for t in times]
    dead = [[i / 12 if i % 2 else None for i in range(12)] for _ in times]
    findings = [
        Finding(
            "grad.vanish",
            "error",
            "The gradient of <the first> layer & others fades.",
            evidence={"ratio": 1e-9, "threshold": 1e-3, "by_layer": gradients[0]},
            location="stage_0",
            remedy='activation="relu", kernel_initializer="he_normal", ' + "x" * 60,
            confidence=0.8,
            recipe="mlp",
        ),
        Finding("fit.epochs", "info", "Stops early.", recipe="no_such_recipe"),
    ]
    return Report(
        findings,
        program={"model": "net", "loss": "mse", "parameters": 1234567},
        passes=[{"name": "live", "seconds": 1.5, "note": "20 steps"}],
        notes=["a note"],
        curves={"loss": [3.0, 2.0, None, 1.0], "val_loss": [3.0, 2.5, 2.4, 2.6], "rate": [0.1] * 4},
        layers={"names": names, "time": times, "gradient_norm": gradients, "dead_share": dead},
    )


def text_of(report, tmp_path):
    report.to_html(tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_escapes(tmp_path):
    text = text_of(example(), tmp_path)
    assert not re.search(r"<script|<link|<img|@import|https?://", text)
    assert "of &lt;the first&gt; layer &amp; others" in text
    assert text.count('aria-label="Gradient norm by layer over time"') == 1
    assert "kerasdnn show mlp" in text
    assert "recipes/basics/mlp.py" in text
    assert "no_such_recipe" not in text
    assert "1,234,567" in text


def test_colours_follow_the_numbers(tmp_path):
    text = text_of(example(), tmp_path)
    cells = re.findall(r'fill="([^"]+)"><title>(stage_\d+)\S*, epoch 0.1: ([^<]+)<', text)
    colours = {(name, number): colour for colour, name, number in cells}
    assert colours["stage_0", "1.1e-12"] != colours["stage_11", "0.11"]
    assert ("stage_0", "–") not in colours  # a layer without any number has no row


def test_an_empty_report_has_a_page(tmp_path):
    text = text_of(Report(), tmp_path)
    assert "Nothing was found" in text
    assert "<svg" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_fits_the_screen(tmp_path, width):
    page = text_of(example(), tmp_path)
    # A frame is as narrow as a phone; chromium's own window is not.
    frame = f"""<body style="margin:0"><iframe style="width:{width}px;height:900px;border:0">
    </iframe><pre></pre><script>
    const frame = document.querySelector("iframe");
    frame.onload = () => {{
      const page = frame.contentDocument, wide = page.documentElement.clientWidth;
      const boxes = [...page.querySelectorAll("article,figure,svg,td,pre,h1,p")];
      document.querySelector("pre").textContent = "SEEN" + JSON.stringify({{
        width: wide, scroll: page.documentElement.scrollWidth,
        out: boxes.filter(b => b.getBoundingClientRect().right > wide + 1).length,
        charts: page.querySelectorAll("svg").length,
        thin: [...page.querySelectorAll("svg")].filter(s => s.clientWidth < wide / 6).length,
        font: Math.min(...boxes.map(b => parseFloat(getComputedStyle(b).fontSize))),
      }}) + "SEEN";
    }};
    frame.srcdoc = {json.dumps(page).replace("</", "<" + chr(92) + "/")};
    </script></body>"""
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1300,1000", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run(
        [*command, (tmp_path / "frame.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    seen = json.loads(re.search(r"<pre>SEEN(.*?)SEEN</pre>", done.stdout, re.DOTALL).group(1))
    assert seen["width"] == width
    assert seen["scroll"] <= width
    assert seen["out"] == 0
    assert seen["charts"] == 4
    assert seen["thin"] == 0
    assert seen["font"] >= 12
