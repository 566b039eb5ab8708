"""What `training/train.py` and `training/evaluate.py` share; nothing in the library imports it."""
