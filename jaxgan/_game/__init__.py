"""Defines games, GANs, and their training step."""

from jaxgan._game._game import Game, game, objective
from jaxgan._game._gan import GAN, gan

__all__ = ["GAN", "Game", "game", "gan", "objective"]
