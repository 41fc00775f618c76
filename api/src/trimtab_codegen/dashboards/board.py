"""A dashboard of rows of panels: its variables, its place on Grafana's grid, and its text as JSON.

Called by `__init__` for each dashboard. Grafana takes `uid` for the address of a dashboard, so that
it never changes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from trimtab_codegen.dashboards.panels import SOURCE, Panel
from trimtab_codegen.dashboards.queries import SOME_NAMESPACES, select
from trimtab_operator.telemetry.catalogue import JOB_STATE

__all__ = [
    "BOARD_TAG",
    "JOB_LINK",
    "JOB_UID",
    "BoardFacts",
    "Choice",
    "Row",
    "build_board",
    "render_board",
]

BOARD_TAG = "trimtab"
"""By which the dashboards find each other."""

JOB_UID = "trimtab-job"
"""Of the dashboard of one job."""
JOB_LINK = (
    f"/d/{JOB_UID}?var-datasource=${{datasource}}"
    "&var-job_namespace=${__data.fields.Namespace}&var-job_name=${__data.fields.Job}"
)
"""The dashboard of the job in a row of a table with the columns Namespace and Job."""

_NOTE = "GENERATED from api/ by trimtab_codegen; do not edit"


class Choice(Enum):
    """Which jobs a reader chooses."""

    NONE = "none"
    NAMESPACES = "namespaces"
    JOBS = "jobs"
    ONE_JOB = "one job"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title; their widths make whole lines of the grid."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFacts:
    """What a dashboard is beside its panels."""

    uid: str
    title: str
    text: str
    choice: Choice
    since: str = "now-6h"


def build_board(facts: BoardFacts, *rows: Row) -> models.Dashboard:
    """Return a dashboard."""
    made = board.Dashboard(facts.title).uid(facts.uid).tags([BOARD_TAG])
    made.description(f"{facts.text} {_NOTE}.").timezone("browser").refresh("30s")
    made.time(facts.since, "now").tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
    made.variables(_list_variables(facts.choice)).links([_link_others()])
    for row in rows:
        made.with_row(board.Row(row.title).collapsed(collapsed=False))
        for panel in row.panels:
            made.with_panel(panel)
    built = made.build()
    for number, one in enumerate(built.panels or (), start=1):
        one.id_val = number
    return built


def render_board(made: models.Dashboard) -> str:
    """Return the JSON of a dashboard, the same text for the same dashboard."""
    text = json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False)
    return text + "\n"


def _list_variables(choice: Choice) -> list[Builder[models.VariableModel]]:
    source = board.DatasourceVariable("datasource").label("Data source").type("prometheus")
    if choice is Choice.NONE:
        return [source]
    is_one = choice is Choice.ONE_JOB
    namespaces = f"label_values({select(JOB_STATE)}, job_namespace)"
    chosen: list[Builder[models.VariableModel]] = [
        source,
        _ask("job_namespace", "Namespace", namespaces, is_one=is_one),
    ]
    if choice is not Choice.NAMESPACES:
        where = {"job_namespace": '="$job_namespace"'} if is_one else SOME_NAMESPACES
        names = f"label_values({select(JOB_STATE, where)}, job_name)"
        chosen.append(_ask("job_name", "Job", names, is_one=is_one))
    return chosen


def _ask(name: str, label: str, query: str, *, is_one: bool) -> board.QueryVariable:
    asked = board.QueryVariable(name).label(label).query(query).datasource(SOURCE)
    asked.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    asked.sort(models.VariableSort.ALPHABETICAL_ASC)
    if is_one:
        return asked
    return (
        asked.multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _link_others() -> board.DashboardLink:
    link = board.DashboardLink("Trimtab").type(models.DashboardLinkType.DASHBOARDS)
    return link.tags([BOARD_TAG]).as_dropdown(as_dropdown=True).keep_time(keep_time=True)
