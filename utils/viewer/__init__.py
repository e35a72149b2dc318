"""A page that shows motions in 3D in any browser, from disk and without network."""
