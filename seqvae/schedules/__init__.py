"""Schedules. A new one: one file here and one line in `ScheduleChoice`."""

from seqvae.schedules.constant import Constant
from seqvae.schedules.cyclical import Cyclical
from seqvae.schedules.linear import Linear
from seqvae.schedules.schedule import Schedule
from seqvae.schedules.sigmoid import Sigmoid

ScheduleChoice = Constant | Linear | Sigmoid | Cyclical

__all__ = ["Constant", "Cyclical", "Linear", "Schedule", "ScheduleChoice", "Sigmoid"]
