"""The stages in their fixed order, as one explicit table."""

from trimtab_trainer.stages._base import AbstractStage
from trimtab_trainer.stages.benchmark import BenchmarkStage
from trimtab_trainer.stages.export import ExportStage
from trimtab_trainer.stages.prune import PruneStage
from trimtab_trainer.stages.quantize import QuantizeStage
from trimtab_trainer.stages.search import SearchStage
from trimtab_trainer.stages.train import TrainStage

__all__ = ["STAGES"]

STAGES: tuple[AbstractStage, ...] = (
    SearchStage(),
    TrainStage(),
    PruneStage(),
    QuantizeStage(),
    ExportStage(),
    BenchmarkStage(),
)
"""Order is the order of execution."""
