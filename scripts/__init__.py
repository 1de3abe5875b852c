"""What sets up, checks and documents the project. `environment` and `lock` run before anything is installed and keep
to the standard library."""
