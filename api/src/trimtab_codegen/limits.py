"""From which value on an alert is raised, where a dashboard shows the same figure in red.

Called by the alerts and the dashboards, so that neither says that all is well while the other does
not.
"""

__all__ = ["REPORT_AGE_LIMIT", "WATCH_AGE_LIMIT"]

REPORT_AGE_LIMIT = 150
"""Age of a report in seconds, which is renewed every 15."""
WATCH_AGE_LIMIT = 300
"""Age of a watch in seconds, which is compared every 30."""
