"""Publishing on the Hugging Face Hub: models with their cards, data sets, indexes and the metric."""
