"""Pruning: zeros that stay zero, networks that really become smaller, and lottery tickets."""

from kerasdnn.pruning.channels import PruneResult, prune_channels
from kerasdnn.pruning.lottery import Ticket, find_ticket
from kerasdnn.pruning.masks import strip
from kerasdnn.pruning.report import SparsityReport, sparsity_report
from kerasdnn.pruning.timing import latency

__all__ = [
    "PruneResult",
    "SparsityReport",
    "Ticket",
    "find_ticket",
    "latency",
    "prune_channels",
    "sparsity_report",
    "strip",
]
