"""The encoders that need no download: `raybert-tiny`, whose files are part of the package, and its random like.

`raybert-tiny` is pretrained (`raybert_tiny/README.md`: on what, how, how good). `raybert-tiny-random` has random
weights and learns its vocabulary from the pool; before raybert shipped weights it had the name `raybert-tiny`.
"""

from __future__ import annotations

from pathlib import Path

TINY, TINY_RANDOM = "raybert-tiny", "raybert-tiny-random"
BUILT_IN_ENCODERS = (TINY, TINY_RANDOM)
EMBEDDED = Path(__file__).parent / "raybert_tiny"
"""A plain transformers folder: weights in half precision, which loading turns into float32."""
FINGERPRINTS = frozenset({"2b1d318dc3711375d4f22b440fae43e38904301253482142e61fbdb39438a198"})
"""Of all files of `raybert-tiny` that raybert has shipped (`fingerprint_files`)."""
