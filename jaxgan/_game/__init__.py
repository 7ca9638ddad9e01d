"""Implements `jaxgan.gan`: the training step and the checks of its arguments."""

from jaxgan._game._gan import GAN, gan

__all__ = ["GAN", "gan"]
