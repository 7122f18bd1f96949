"""The corpus of requests and plans, and the fine-tuning of the planner on it. Needs the extra `train`."""
