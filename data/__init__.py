"""Data sets in the HumanML3D folder layout."""

if __name__ == "data":  # imported by the name of earlier versions
    from lamp.old_names import redirect

    redirect(__name__)
