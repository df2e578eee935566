"""Whether images fit the canvases of an exported model, said once while they are segmented."""

from collections.abc import Callable, Iterable, Sequence

from odise_cli.data.geometry import fitted_size, padded_size, resized_size
from odise_cli.model.config import ModelConfig
from odise_cli.model.exported import Size, smallest_canvas
from odise_cli.structures import ImageResult
from odise_cli.writers.encoded import EncodedImage

_LEAST_COVER = 0.75
"""Of a canvas, by its image; photographs of 4:3 cover 89 % of the usual canvas of 3:2."""


class CanvasWatch:
    """Tells of the first image that leaves much of its canvas empty; of no other."""

    def __init__(
        self, model: ModelConfig, canvases: Sequence[Size], on_notice: Callable[[str], None]
    ) -> None:
        """Watch over a run.

        Args:
            model: says how large images become.
            canvases: (height, width) of those that there are; none is any, and nothing to tell.
            on_notice: told.
        """
        self._model = model
        self._canvases = canvases
        self._on_notice = on_notice

    def look_at(self, results: Iterable[ImageResult | EncodedImage]) -> None:
        """Tell of the first that fits badly."""
        for result in results if self._canvases else ():
            if isinstance(result, ImageResult):
                name, size = result.image.record.name, result.image.size
            else:
                name, size = result.record.name, result.size
            notice = self._notice(name, size)
            if notice:
                self._on_notice(notice)
                self._canvases = ()
                return

    def _notice(self, name: str, size: Size) -> str:
        """What is to be said of an image of (height, width); may be empty."""
        wanted = resized_size(
            size, short_side=self._model.short_side, long_side=self._model.long_side
        )
        height, width = fitted_size(wanted, self._canvases)
        canvas = smallest_canvas((height, width), self._canvases)
        cover = height * width / (canvas[0] * canvas[1])
        # The canvas of the model of weights is as good as can be, however much of it is empty.
        best = padded_size(wanted)
        if canvas == best or cover >= _LEAST_COVER:
            return ""
        return (
            f"{name} covers {cover:.0%} of the smallest canvas that this exported model has for "
            f"it, {canvas[0]}x{canvas[1]}; an empty part can make results worse. For images "
            f"like this, export the model with --size {best[0]}x{best[1]} (--size may be repeated)."
        )
