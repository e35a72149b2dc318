"""Motion capture of any source as the 22 joints of the format."""
