"""Why does the loss not converge? Diagnose a training, name the cause, prove the remedy."""

from kerasdnn.diagnosis.evidence import Dynamics, Evidence
from kerasdnn.diagnosis.finding import SEVERITIES, Finding
from kerasdnn.diagnosis.report import Report

__all__ = ["SEVERITIES", "Dynamics", "Evidence", "Finding", "Report"]
