"""Whether a motion does what a sentence says, judged by kinematics alone: predicates on joints, and their score.

`body` has the measures, `moves`, `arms` and `amounts` the predicates, `tests` puts them together by name.
"""
