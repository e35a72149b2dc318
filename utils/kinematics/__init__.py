"""The human body as the format has it: skeletons, rotations, motion features, inverse kinematics, foot contact."""
