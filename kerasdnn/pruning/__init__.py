"""Pruning: zeros that stay zero, networks that really become smaller, and lottery tickets."""

from kerasdnn.pruning.masks import strip
from kerasdnn.pruning.report import SparsityReport, sparsity_report

__all__ = ["SparsityReport", "sparsity_report", "strip"]
