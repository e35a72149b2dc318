"""glTF 2.0: a mannequin with a motion, motions for VRM avatars, and motions on a user's own character."""
