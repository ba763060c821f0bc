"""Write what a study's folder lacks: the picture of training, and the page."""

from __future__ import annotations

from pathlib import Path

from raybert.analysis.report import REPORT_FILE
from raybert.evaluation.language_models.study import StudyResults, load_study
from raybert.evaluation.language_models.study_page import study_html
from raybert.evaluation.language_models.study_plots import write_training_curves
from raybert.files import write_text

PLOTS = "plots"


def publish_study(folder: Path) -> StudyResults:
    """Write plots of training and `report.html` of a study, and return it.

    Raises:
        SweepError: the folder is none of a study.
    """
    study = load_study(folder)
    curves = write_training_curves(study.evaluations, folder / PLOTS)
    page = folder / REPORT_FILE
    write_text(page, study_html(study, curves))
    return study.reported(page)
