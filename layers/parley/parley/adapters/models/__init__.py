"""The models: back ends that complete conversations."""
