"""Optimisers, which update leaf Tensors in place, from `.grad` or from given gradients."""

from .loss_scaling import LossScale, all_finite
from .optimisers import SGD, Adam, Optimizer, clip_by_global_norm

__all__ = ["SGD", "Adam", "LossScale", "Optimizer", "all_finite", "clip_by_global_norm"]
