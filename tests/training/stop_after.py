"""Surroundings of a training run that is interrupted."""

from raybert.training import LocalSurroundings


class StopAfter(LocalSurroundings):
    """Asks to stop after some steps."""

    def __init__(self, folder, steps):
        super().__init__(checkpoint_folder=folder)
        self.left = steps

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left == 0
