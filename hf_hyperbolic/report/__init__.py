"""The report of a run: figures, galleries and tables in one self-contained HTML file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_hyperbolic.report.report import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> Any:
    # the report imports the evaluation and so torch; a single figure needs neither
    if name == "write_report":
        from hf_hyperbolic.report.report import write_report

        return write_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
