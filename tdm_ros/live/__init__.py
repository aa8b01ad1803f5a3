"""Learning while arms move: online learner and record of a run."""
