"""Sound: an activation as the transfer curve of a distortion, judged by the harmonics it makes."""

from .task import Waveshaping as Waveshaping
