"""Trainings of one model as one network: for the price of little more than one."""
