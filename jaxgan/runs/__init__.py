"""Manages run folders, JSON files and stop signals for training scripts."""

from jaxgan.runs._folder import begin
from jaxgan.runs._records import longest_streak, write_json, write_log
from jaxgan.runs._signals import agree, stop_signals

__all__ = ["agree", "begin", "longest_streak", "stop_signals", "write_json", "write_log"]
