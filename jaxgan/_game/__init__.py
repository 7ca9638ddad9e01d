"""The game between two players: `jaxgan.gan`, its half-steps and the checks of its arguments."""

from jaxgan._game._gan import GAN, gan

__all__ = ["GAN", "gan"]
