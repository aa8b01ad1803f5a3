"""Learned function: configuration, networks, updates, actor, exploration.

Nothing is imported here, so that the numpy actor (`tdm_ros.tdm.actor`) can be imported without torch.
"""
