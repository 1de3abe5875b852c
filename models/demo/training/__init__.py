"""Training the demonstration model: pictures, towers, trainer, export, parity and evaluation. See NOTES.md."""
