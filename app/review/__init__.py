"""The queue of decisions that wait for a person."""
