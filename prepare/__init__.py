"""Data preparation and downloads."""

if __name__ == "prepare":  # imported by the name of earlier versions
    from lamp.old_names import redirect

    redirect(__name__)
