"""What HumanML3D's data folder is built from."""
