"""Generative adversarial networks: which activation belongs into generator and discriminator."""

from .task import GAN as GAN
