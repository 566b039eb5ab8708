"""The report of a run: figures, galleries and tables in one self-contained HTML file."""

from .report import write_report as write_report
