"""LaMP for other programs: tools for assistants (Model Context Protocol), motions for Blender (MMCP)."""
