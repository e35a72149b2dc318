"""Command-line options, one dataclass per script."""

if __name__ == "options":  # imported by the name of earlier versions
    from lamp.old_names import redirect

    redirect(__name__)
