"""Pictures of a simulation: a page for a browser and a trace for a trace viewer, both made of the record alone."""

from cnn2snn_ir.runtime.report.html import report_html, write_report
from cnn2snn_ir.runtime.report.trace import trace_events, write_trace

__all__ = ["report_html", "trace_events", "write_report", "write_trace"]
