"""Cases of the metric, as the Hub's layout has them; the app offers them as examples."""

from typing import Any

test_cases: list[dict[str, Any]] = [
    {
        "predictions": [[4, 0, 0], [1, 1, 0]],
        "references": [[0, 0, 2], [1, 1, 0]],
        "options": {},
        "result": {"hier_ot": 1.0, "low": 0.0, "high": 2.0},
    },
    {
        "predictions": [[4, 0, 0], [1, 1, 0]],
        "references": [[0, 0, 2], [1, 1, 0]],
        "options": {
            "ground": "tree",
            "parents": {"cat": "pet", "dog": "pet", "pet": "animal", "cow": "animal"},
            "class_names": ["cat", "dog", "cow"],
        },
        "result": {"hier_ot": 1.5, "low": 0.0, "high": 3.0},
    },
    {
        "predictions": [[4, 0, 0], [1, 1, 0]],
        "references": [[0, 0, 2], [1, 1, 0]],
        "options": {"ground": [[0, 1, 5], [1, 0, 5], [5, 5, 0]]},
        "result": {"hier_ot": 2.5, "low": 0.0, "high": 5.0},
    },
]
