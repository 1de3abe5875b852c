"""Portcullis: self-hosted content moderation with a rules engine."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("portcullis")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+source"
