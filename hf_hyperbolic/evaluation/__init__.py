"""Evaluation of embeddings on hierarchies; knows no model class."""

from .bootstrap import bootstrap_interval, paired_difference
from .evaluate import evaluate_embeddings, evaluate_per_query
from .sections import EvaluationSettings
from .table import format_table, load_per_query, save_per_query

__all__ = [
    "EvaluationSettings",
    "bootstrap_interval",
    "evaluate_embeddings",
    "evaluate_per_query",
    "format_table",
    "load_per_query",
    "paired_difference",
    "save_per_query",
]
