"""Combines agent, replay and task: the online learner, training, evaluation, curves."""
