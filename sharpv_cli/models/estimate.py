"""What an answer will need of memory, by formula: known before any of it is taken.

The formulas count the tensors that live at once in transformers' own modules at their peak, per token of the
tower or of the prompt, as `docs/models.md` lists them; tests compare them with what really lives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sharpv_cli import metrics
from sharpv_cli.metrics import LanguageModel
from sharpv_cli.models.dimensions import VisionTower, language_model, vision_tower
from sharpv_cli.models.known import KnownModel
from sharpv_cli.types import MemoryEstimate
from sharpv_cli.video.thumbnails import THUMBNAIL_BYTES

# Words around each frame in the prompt of families that number or time them; the rest is said once.
_TEXT_PER_SLOT = {"qwen3_vl": 10, "internvl": 8, "smolvlm": 16, "video_llama_3": 9, "video_llava": 1}
_TEXT_ONCE = 64  # chat template and a question of ordinary length
CHUNKS_ON_HOST = 4  # the one that is encoded, its copy, and two that are decoded ahead
_SCORE_BYTES = 16  # float32 copies that live while a number of a feature is scored


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model: `frames` of `height` x `width` pixels as decoded, at most `new_tokens` back.

    `itemsize` is bytes of a number in the model's dtype. `eager`: attention scores are written out. `one_memory`:
    the model's device uses the host's memory. `at_once`: most frames that are encoded together, None for all; of
    more than these, only what is kept is held of the others. `text_tokens` None is an estimate.
    """

    model: KnownModel
    frames: int
    height: int
    width: int
    new_tokens: int
    itemsize: int
    eager: bool = False
    one_memory: bool = False
    at_once: int | None = None
    text_tokens: int | None = None

    @property
    def grid(self) -> tuple[int, int, int]:
        """(T, rows, columns) of visual tokens."""
        return self.model.grid(self.frames, self.height, self.width)

    @property
    def visual_tokens(self) -> int:
        return math.prod(self.grid)

    @property
    def together(self) -> int:
        """Slots that are encoded together."""
        per_slot = self.model.family.frames_per_slot
        slots = self.grid[0]
        return slots if self.at_once is None else min(slots, -(-self.at_once // per_slot))

    @property
    def in_chunks(self) -> bool:
        """Whether the frames are more than are encoded together."""
        return self.together < self.grid[0]

    @property
    def most_kept(self) -> int:
        """No more visual tokens than this are ever read: all, or those that the context has room for."""
        if self.model.context is None:
            return self.visual_tokens
        room = self.model.context - self.text - max(0, self.new_tokens - 1)
        return max(0, min(self.visual_tokens, room))

    @property
    def text(self) -> int:
        """Tokens of the prompt that are no visual ones, as given or as estimated."""
        if self.text_tokens is not None:
            return self.text_tokens
        return _TEXT_ONCE + self.grid[0] * _TEXT_PER_SLOT.get(self.model.family.model_type, 0)

    def with_frames(self, frames: int) -> Request:
        """With the words that these have around them; what the question is longer than usual stays."""
        fewer = replace(self, frames=frames, text_tokens=None)
        if self.text_tokens is None:
            return fewer
        beyond = self.text_tokens - replace(self, text_tokens=None).text
        return replace(fewer, text_tokens=max(0, fewer.text + beyond))


def estimate(request: Request, kept: int | None = None) -> MemoryEstimate:
    """The memory of one answer with `kept` visual tokens after pruning; None keeps all (the upper bound).

    Memory SharpV is left out: what it discards is discarded after the peak of each layer.
    """
    kept = request.visual_tokens if kept is None else kept
    language = language_model(request.model.config, request.itemsize)
    read = request.text + kept
    embedding = _embedding_bytes(request, language)
    pixels, vision = _vision(request, language)
    encoded = request.together * request.visual_tokens // request.grid[0]
    return MemoryEstimate(
        weights=request.model.weights_bytes(request.itemsize),
        frames=_host_bytes(request),
        pixels=pixels,
        embeddings=(request.text + _held(request, kept, encoded)) * embedding,
        vision=max(vision, encoded * language.hidden * (_SCORE_BYTES + request.itemsize)),
        prefill=read * embedding + prefill_bytes(language, read, eager=request.eager),
        kv_cache=kv_cache_bytes(language, read + request.new_tokens),
        one_memory=request.one_memory,
    )


def _held(request: Request, kept: int, encoded: int) -> int:
    """Visual tokens of which there are embeddings.

    In chunks those that are kept, which are there twice when the prompt is put together, and of two chunks, because
    the next one may be on its way before tokens are taken out of the one before.
    """
    return 2 * kept + 2 * encoded if request.in_chunks else request.visual_tokens


def kv_cache_bytes(language: LanguageModel, tokens: int) -> int:
    """Keys and values of `tokens` in every layer."""
    return metrics.kv_bytes(
        tokens,
        layers=language.layers,
        kv_heads=language.kv_heads,
        head_dim=language.head_dim,
        itemsize=language.itemsize,
    )


def prefill_bytes(language: LanguageModel, tokens: int, *, eager: bool = False) -> int:
    """What lives at the peak of a decoder layer that reads `tokens` at once, and the logits of the last position.

    In the gated MLP: residual, input, gate, its activation (or the product) and up. In attention: residual,
    input, query, its rotation in four pieces, and keys and values likewise. Eager attention writes the scores
    of all pairs: in the model's dtype, as float32 for the softmax, and back.
    """
    mlp = 2 * language.hidden + 3 * language.intermediate
    attention = 2 * language.hidden + language.head_dim * (5 * language.heads + 4 * language.kv_heads)
    work = tokens * max(mlp, attention) * language.itemsize
    scores = language.heads * tokens**2 * (2 * language.itemsize + 4) if eager else 0
    return max(work, scores) + language.vocabulary * (language.itemsize + 4)


def vision_bytes(
    tower: VisionTower, frames: int, hidden: int, merge: float, *, itemsize: int, eager: bool
) -> int:
    """What lives at the peak of the tower and the projector, for `frames` (or temporal patches) at once.

    In the MLP: residual, input, and its two (gated: three) wide tensors. In attention six of the tower's width,
    or five and seven more in float32 where queries and keys are rotated. `hidden` is the language model's width,
    `merge` how many patches become one visual token.
    """
    patches = frames * tower.patches
    mlp = (2 * tower.hidden + (3 if tower.gated else 2) * tower.intermediate) * itemsize
    attention = tower.hidden * (5 * itemsize + 28 if tower.rotates else 6 * itemsize)
    scores = tower.heads * tower.patches * (2 * itemsize + 4) if eager else 0
    projected = 1 if tower.projects_first else 1 / merge
    projector = (2 * projected * hidden + tower.hidden) * itemsize
    held = tower.held_states * tower.hidden * itemsize
    copied = tower.pixels * itemsize if tower.copies_pixels else 0
    return int(patches * (copied + held + max(mlp, attention, scores, projector)))


def _vision(request: Request, language: LanguageModel) -> tuple[int, int]:
    """Bytes of the tower's input, and of its work on as many frames as it takes at once."""
    _, rows, columns = request.grid
    tower = vision_tower(request.model.config, request.model.video_processor, rows * columns)
    work = vision_bytes(
        tower,
        request.together,
        language.hidden,
        tower.patches / (rows * columns),
        itemsize=request.itemsize,
        eager=request.eager,
    )
    return request.together * tower.patches * tower.pixels * request.itemsize, work


def _embedding_bytes(request: Request, language: LanguageModel) -> int:
    """Of one token at the language model's input; DeepStack brings further features of each."""
    deepstack = getattr(request.model.config.vision_config, "deepstack_visual_indexes", None) or ()
    return (1 + len(deepstack)) * language.hidden * request.itemsize


def _host_bytes(request: Request) -> int:
    """Decoded RGB frames, the copy that preprocessing works on, and its float32 result twice.

    In chunks: of the one that is encoded and of those that are decoded ahead, and small pictures of all.
    """
    _, rows, columns = request.grid
    tower = vision_tower(request.model.config, request.model.video_processor, rows * columns)
    prepared = 2 * 4 * request.together * tower.patches * tower.pixels
    decoded = 3 * request.frames * request.height * request.width
    if not request.in_chunks or request.at_once is None:
        return 2 * decoded + prepared
    chunk = decoded * request.at_once // request.frames
    return CHUNKS_ON_HOST * chunk + prepared + min(decoded, THUMBNAIL_BYTES)
