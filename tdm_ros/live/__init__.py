"""Learning beside moving arms: online learner and record of a run."""
