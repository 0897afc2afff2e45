"""Study file: methods, tasks, labels, schemes and seeds, checked before anything runs."""

from monai_ssl.study.plan.methods import Pretraining
from monai_ssl.study.plan.places import PHANTOMS
from monai_ssl.study.plan.study import Study, check_study, read_study
from monai_ssl.study.plan.tasks import StudyTask

__all__ = ["PHANTOMS", "Pretraining", "Study", "StudyTask", "check_study", "read_study"]
