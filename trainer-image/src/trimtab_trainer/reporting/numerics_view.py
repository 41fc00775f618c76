"""What the HTML report says about numeric precision: types, loss scale, overflows, fallbacks. Pure.

Called by `html` with the epochs of the final training.
"""

from collections.abc import Iterator, Sequence

from trimtab_api.reports import EpochReport, RunReport
from trimtab_trainer.reporting.charts.training import ScalePoint

__all__ = ["describe_numerics", "list_scale_points"]

_ARROW = "\N{RIGHTWARDS ARROW}"


def describe_numerics(report: RunReport) -> list[str]:
    """Return sentences on the precision of the final training, and of all trainings together."""
    epochs = [epoch for epoch in report.training if epoch.numerics is not None]
    return [*_describe_training(epochs), *_describe_job(report)]


def _describe_training(epochs: Sequence[EpochReport]) -> Iterator[str]:
    numerics = [epoch.numerics for epoch in epochs if epoch.numerics is not None]
    if not numerics:
        return
    last = numerics[-1]
    dtypes = list(dict.fromkeys(entry.dtype for entry in numerics))
    yield f"Computed in {f' {_ARROW} '.join(dtypes)}; master weights are fp32."
    if last.emulated:
        yield (
            f"{last.dtype} is emulated: this device computes it in another type, so times here say"
            " nothing of a device that has it."
        )
    scales = {entry.loss_scale for entry in numerics}
    if scales == {None}:
        yield "The loss was not scaled."
    elif len(scales) == 1:
        yield f"The loss scale stayed at {numerics[0].loss_scale:,.6g}."
    skipped = sum(entry.overflows for entry in numerics)
    if skipped:
        touched = sum(entry.overflows > 0 for entry in numerics)
        yield f"Steps skipped after an overflow: {skipped}, in {touched} of {len(numerics)} epochs."
    for point in list_scale_points(epochs):
        if point.fallback:
            yield (
                f"Epoch {point.epoch} went {point.fallback}: the narrow type did not hold its"
                " numbers, and the training went on from the last good epoch."
            )
    if not skipped and all(entry.fallback_from is None for entry in numerics):
        yield "No step overflowed and no wider type was needed."


def _describe_job(report: RunReport) -> Iterator[str]:
    precision = report.status.precision
    if precision is None or not (precision.overflows or precision.fallbacks):
        return
    yield (
        f"Over all trainings of the job: steps skipped {precision.overflows},"
        f" fallbacks to a wider type {precision.fallbacks}."
    )


def list_scale_points(epochs: Sequence[EpochReport]) -> list[ScalePoint]:
    """Return the loss scale of each epoch that tells of its numerics."""
    return [
        ScalePoint(
            epoch=epoch.epoch,
            scale=epoch.numerics.loss_scale,
            overflows=epoch.numerics.overflows,
            fallback=f"{epoch.numerics.fallback_from} {_ARROW} {epoch.numerics.dtype}"
            if epoch.numerics.fallback_from
            else "",
        )
        for epoch in epochs
        if epoch.numerics is not None
    ]
