import json
import math

from kerasdnn.diagnosis import Finding, Report

import numpy as np
import pytest


def example():
    rate = Finding(
        "lr.high",
        "warning",
        "The learning rate is too high.",
        evidence={"rate": np.float32(0.5), "loss": [math.nan, 1.0]},
        location="optimizer",
        remedy="optimizer=keras.optimizers.SGD(0.01)",
        confidence=0.8,
        stage="dynamics",
    )
    return Report([rate, Finding("data.tiny", "info", "Few rows.")], notes=["no validation data"])


def test_json_round_trip_keeps_everything(tmp_path):
    report = example()
    text = report.to_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(text)
    again = Report.from_json(text)
    assert again.to_dict() == report.to_dict()
    assert again.findings[0].evidence["rate"] == 0.5
    assert again.findings[0].evidence["loss"] == ["nan", 1.0]  # JSON has no NaN


def test_printed_report_shows_cause_evidence_and_remedy():
    text = str(example())
    assert "lr.high" in text
    assert "rate 0.5" in text
    assert "-> optimizer=keras.optimizers.SGD(0.01)" in text
    assert "1 of 2 findings hurt" in text
    assert str(Report()).startswith("Diagnosis: no finding")


def test_warnings_are_what_hurts():
    report = example()
    assert [finding.id for finding in report.warnings] == ["lr.high"]
    assert report.worst == "warning"
    assert Report().worst is None


def test_severity_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="severity"):
        Finding("lr.high", "fatal", "")
