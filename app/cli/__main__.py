"""`python -m app.cli`, for where the `portcullis` script is not on the path."""

from app.cli import main

main()
