"""Starts several processes that work together, and sees to it that they end."""

from kerasdnn.launch.address import check_address, choose_port
from kerasdnn.launch.process import Group, Process, hold_lifeline
from kerasdnn.launch.together import run_together

__all__ = ["Group", "Process", "check_address", "choose_port", "hold_lifeline", "run_together"]
