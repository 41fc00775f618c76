"""Panels of Grafana by what they are for, each with a description, and the dashboard around them.

Called by the dashboards. SEAM: the only importer of Grafana's SDK, whose models become JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as choices
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from typing_extensions import override

from trimtab_codegen.limits import REPORT_AGE_LIMIT

__all__ = [
    "FULL_WIDTH",
    "REPORT_AGE_STEPS",
    "SOURCE",
    "Column",
    "Frame",
    "Labels",
    "Panel",
    "Query",
    "Steps",
    "draw_bars",
    "draw_lines",
    "draw_timeline",
    "show_number",
    "show_table",
    "show_word",
]

FULL_WIDTH = 24
"""Columns of Grafana's grid."""

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the reader chose."""

Panel = Builder[models.Panel]
Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour counts; None is the lowest."""

REPORT_AGE_STEPS: Steps = ((None, "text"), (60, "yellow"), (REPORT_AGE_LIMIT, "red"))
"""Of the age of a report in seconds."""

_PLAIN: Steps = ((None, "text"),)
_STATE_COLOURS = {
    "Running": "blue",
    "Succeeded": "green",
    "Complete": "green",
    "Failed": "red",
    "Infeasible": "orange",
    "Stopped": "purple",
    "Suspended": "purple",
    "Pending": "yellow",
    "Queued": "yellow",
    "Starting": "super-light-blue",
    "Cached": "super-light-green",
}
"""Of jobs and trials, the same on every panel."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query and what its series are called, with `{{label}}` for a label."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every panel has: title, description, unit, and its size on the grid."""

    title: str
    text: str
    width: int
    height: int = 8
    unit: str = "short"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that a query fills; its labels make the columns before."""

    title: str
    expression: str
    unit: str = "short"
    steps: Steps = ()
    """Colours of its cells; none where empty."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Columns that are labels: label → title, and columns of values that are not shown."""

    shown: Mapping[str, str]
    hidden: Sequence[str] = ()


class _Common(Protocol):
    """What the panels of Grafana's SDK have in common, each in a class of its own."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def targets(self, targets: list[Builder[Dataquery]]) -> Self: ...


_Any = TypeVar("_Any", bound=_Common)


def show_number(frame: Frame, expression: str, *, steps: Steps = _PLAIN) -> Panel:
    """Return a panel with one number of now, in the colour of its step."""
    panel = _fill(stat.Panel(), frame, [_now(Query(expression))])
    panel.reduce_options(_last()).graph_mode(choices.BigValueGraphMode.NONE)
    return panel.thresholds(_thresholds(steps)).color_mode(choices.BigValueColorMode.VALUE)


def show_word(frame: Frame, query: Query) -> Panel:
    """Return a panel with the name of the series that there is."""
    panel = _fill(stat.Panel(), frame, [_now(query)])
    panel.reduce_options(_last()).graph_mode(choices.BigValueGraphMode.NONE)
    panel.text_mode(choices.BigValueTextMode.NAME).overrides(_state_colours())
    return panel.thresholds(_thresholds(_PLAIN)).color_mode(choices.BigValueColorMode.VALUE)


def draw_lines(
    frame: Frame,
    *queries: Query,
    is_stacked: bool = False,
    steps: Steps = (),
    floor: float | None = 0,
) -> Panel:
    """Return a panel with series over time.

    Args:
        frame: Its title, description, unit and size.
        queries: What is drawn.
        is_stacked: Whether the series are parts of a whole.
        steps: Levels that are drawn as dashed lines; none where empty.
        floor: Where the axis begins unless a value is lower; None begins at the values.
    """
    panel = _fill(timeseries.Panel(), frame, [_range(query) for query in queries])
    panel.legend(_legend()).tooltip(_tooltip()).overrides(_state_colours())
    panel.show_points(choices.VisibilityMode.AUTO)
    if floor is not None:
        panel.axis_soft_min(floor)
    panel.line_interpolation(choices.LineInterpolation.STEP_AFTER).line_width(1)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(choices.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(steps)).thresholds_style(style)
    if not is_stacked:
        return panel.fill_opacity(0)
    stacking = common.StackingConfig().mode(choices.StackingMode.NORMAL).group("A")
    return panel.fill_opacity(60).stacking(stacking)


def draw_bars(frame: Frame, *queries: Query) -> Panel:
    """Return a panel with a bar for the last value of each series."""
    panel = _fill(bargauge.Panel(), frame, [_now(query) for query in queries])
    panel.reduce_options(_last()).orientation(choices.VizOrientation.HORIZONTAL).min(0)
    return panel.display_mode(choices.BarGaugeDisplayMode.BASIC).thresholds(
        _thresholds(((None, "blue"),))
    )


def draw_timeline(frame: Frame, *queries: Query, word: str) -> Panel:
    """Return a panel that shows when each series was 1, which it calls by a word."""
    shown = {
        "0": models.ValueMappingResult(text=" ", color="transparent", index=0),
        "1": models.ValueMappingResult(text=word, color="blue", index=1),
    }
    panel = _fill(statetimeline.Panel(), frame, [_range(query) for query in queries])
    panel.mappings([models.ValueMap(options=shown)])
    panel.merge_values(merge_values=True).show_value(choices.VisibilityMode.NEVER).row_height(0.8)
    legend = common.VizLegendOptions().show_legend(show_legend=False)
    return panel.legend(legend).fill_opacity(80).line_width(0)


def show_table(frame: Frame, labels: Labels, *columns: Column, link: str = "") -> Panel:
    """Return a table of now with a row for each set of labels.

    Args:
        frame: Its title, description and size.
        labels: What identifies a row.
        columns: Figures beside it.
        link: Where a click on the first column leads, with variables of Grafana.
    """
    queries = [
        _now(Query(column.expression)).format(PromQueryFormat.TABLE).ref_id(chr(ord("A") + number))
        for number, column in enumerate(columns)
    ]
    panel = _fill(table.Panel(), frame, queries).show_header(show_header=True)
    values = {_value_name(number, columns): column for number, column in enumerate(columns)}
    order = [*labels.shown, *values]
    shape = {
        "excludeByName": dict.fromkeys(["Time", *labels.hidden], True),
        "indexByName": {name: place for place, name in enumerate(order)},
        "renameByName": {**labels.shown, **{name: one.title for name, one in values.items()}},
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=shape))
    for column in columns:
        panel.override_by_name(column.title, _style(column))
    if link:
        first = next(iter(labels.shown.values()))
        links = [{"title": "Open this job", "url": link}]
        panel.override_by_name(first, [models.DynamicConfigValue(id_val="links", value=links)])
    return panel


def _fill(panel: _Any, frame: Frame, queries: Sequence[prometheus.Dataquery]) -> _Any:
    targets: list[Builder[Dataquery]] = [
        query.ref_id(chr(ord("A") + number)) for number, query in enumerate(queries)
    ]
    return (
        panel.title(frame.title)
        .description(frame.text)
        .datasource(SOURCE)
        .span(frame.width)
        .height(frame.height)
        .unit(frame.unit)
        .targets(targets)
    )


def _range(query: Query) -> prometheus.Dataquery:
    return _ask(query).range()


def _now(query: Query) -> prometheus.Dataquery:
    return _ask(query).instant()


def _ask(query: Query) -> prometheus.Dataquery:
    asked = prometheus.Dataquery().expr(query.expression).datasource(SOURCE)
    return asked.legend_format(query.legend or "__auto")


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True)
    legend.display_mode(choices.LegendDisplayMode.LIST)
    return legend.placement(choices.LegendPlacement.BOTTOM).calcs([])


def _tooltip() -> common.VizTooltipOptions:
    tooltip = common.VizTooltipOptions().mode(choices.TooltipDisplayMode.MULTI)
    return tooltip.sort(choices.SortOrder.DESCENDING)


def _thresholds(steps: Steps) -> board.ThresholdsConfig:
    levels = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return board.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(levels)


def _state_colours() -> list[Builder[models.DashboardFieldConfigSourceOverrides]]:
    return [_Colour(name, colour) for name, colour in _STATE_COLOURS.items()]


class _Colour(Builder[models.DashboardFieldConfigSourceOverrides]):
    """One colour for the series of a name."""

    def __init__(self, name: str, colour: str) -> None:
        self._name = name
        self._colour = colour

    @override
    def build(self) -> models.DashboardFieldConfigSourceOverrides:
        """Return the override."""
        value = {"mode": "fixed", "fixedColor": self._colour}
        return models.DashboardFieldConfigSourceOverrides(
            matcher=models.MatcherConfig(id_val="byName", options=self._name),
            properties=[models.DynamicConfigValue(id_val="color", value=value)],
        )


def _value_name(number: int, columns: Sequence[Column]) -> str:
    """Return how Grafana calls the values of a query: without a letter where it is the only one."""
    return f"Value #{chr(ord('A') + number)}" if len(columns) > 1 else "Value"


def _style(column: Column) -> list[models.DynamicConfigValue]:
    style = [models.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.steps:
        steps = [{"value": value, "color": colour} for value, colour in column.steps]
        thresholds = {"mode": "absolute", "steps": steps}
        style += [
            models.DynamicConfigValue(id_val="thresholds", value=thresholds),
            models.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        ]
    return style
