"""Motion to text: LaMP's motion queries in front of a caption that a language model writes (LaMP, section 3.4)."""
