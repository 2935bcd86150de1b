"""Why does the loss not converge? Diagnose a training, name the cause, prove the remedy."""

from kerasdnn.diagnosis.evidence import Dynamics, Evidence
from kerasdnn.diagnosis.examination import diagnose
from kerasdnn.diagnosis.finding import SEVERITIES, Finding
from kerasdnn.diagnosis.program import Program
from kerasdnn.diagnosis.repair import Outcome, Repaired, repair
from kerasdnn.diagnosis.report import Report

__all__ = [
    "SEVERITIES",
    "Dynamics",
    "Evidence",
    "Finding",
    "Outcome",
    "Program",
    "Repaired",
    "Report",
    "diagnose",
    "repair",
]
