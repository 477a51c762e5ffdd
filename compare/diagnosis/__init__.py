"""Names the mistake behind a wrong gradient, by making the same mistake on purpose."""

from compare.diagnosis.case import Case, Diagnosis
from compare.diagnosis.search import TIME_LIMIT, diagnose

__all__ = ["TIME_LIMIT", "Case", "Diagnosis", "diagnose"]
