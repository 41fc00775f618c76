"""The charts of the HTML report, one module per part of the report; all are drawn by `canvas`."""
