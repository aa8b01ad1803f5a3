"""Learned function: networks, losses and updates, exploration, checkpoints.

Nothing is imported here, so that the numpy actor (`tdm_ros.tdm.actor`) can be had without torch.
"""
