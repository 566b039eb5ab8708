"""Evaluation of embeddings on hierarchies; knows no model class."""

from hf_hyperbolic.evaluation.bootstrap import bootstrap_interval, paired_difference
from hf_hyperbolic.evaluation.evaluate import evaluate_embeddings, evaluate_per_query
from hf_hyperbolic.evaluation.per_query_files import load_per_query, save_per_query
from hf_hyperbolic.evaluation.sections import EvaluationSettings
from hf_hyperbolic.evaluation.table import format_table

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
