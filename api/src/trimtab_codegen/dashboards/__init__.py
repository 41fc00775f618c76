"""The dashboards of Grafana, from the table that the operator exports its series by.

Called by `__main__`, which writes them to `charts/trimtab/files/dashboards/`.
"""

from trimtab_codegen.dashboards.board import render_board
from trimtab_codegen.dashboards.cluster import build_cluster
from trimtab_codegen.dashboards.fleet import build_fleet
from trimtab_codegen.dashboards.job import build_job
from trimtab_codegen.dashboards.operator_health import build_operator_health

__all__ = ["render_dashboards"]


def render_dashboards() -> dict[str, str]:
    """Return the JSON of each dashboard by the name of its file."""
    return {
        "fleet.json": render_board(build_fleet()),
        "job.json": render_board(build_job()),
        "cluster.json": render_board(build_cluster()),
        "operator.json": render_board(build_operator_health()),
    }
