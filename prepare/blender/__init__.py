"""What Blender does of `prepare/blender_retarget.py`, in a process of its own."""
