"""Geometry, motion files, training loop and other tools that know nothing of the models."""

if __name__ == "utils":  # imported by the name of earlier versions
    from lamp.old_names import redirect

    redirect(__name__)
