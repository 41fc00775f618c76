"""The six words of the stages are spelt alike in every place that names a stage."""

import re

from source_tree import ROOT
from trimtab_api.stages import StageName
from trimtab_api.v1alpha1.job import Stages
from trimtab_trainer.stages.registry import STAGES

WORDS = [str(name) for name in StageName]


def test_the_spec_has_a_field_for_each_stage() -> None:
    assert [field.alias for field in Stages.model_fields.values()] == WORDS


def test_the_contract_has_a_file_for_each_stage() -> None:
    folder = ROOT / "api/src/trimtab_api/v1alpha1"
    assert [word for word in WORDS if not (folder / f"{word}.py").is_file()] == []


def test_the_trainer_has_a_file_for_each_stage() -> None:
    folder = ROOT / "trainer-image/src/trimtab_trainer/stages"
    files = {path.stem for path in folder.glob("[a-z]*.py")}
    assert files - {"registry"} == set(WORDS)


def test_the_reference_has_a_section_for_each_stage() -> None:
    text = (ROOT / "docs/reference/optimizationjob.md").read_text(encoding="utf-8")
    assert re.findall(r"^### spec\.stages\.(\w+)$", text, re.MULTILINE) == WORDS


def test_the_pipeline_runs_the_stages_in_this_order() -> None:
    assert [stage.name for stage in STAGES] == WORDS
