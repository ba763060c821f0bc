"""The tables of commands on pretraining files: `raybert tokenizer`, `crosseval` and `probe`."""

from __future__ import annotations

from raybert.tables.schema import Table, computed

TOKENIZER_CUTS = Table(
    "tokenizer_cuts",
    "a split of a corpus, as a tokenizer cuts it (`raybert tokenizer`)",
    (
        computed("corpus", "text", "its name"),
        computed("split", "text", "train, validation or test"),
        computed("documents", "whole", "in it", "documents"),
        computed("words", "whole", "runs of characters without white space", "words"),
        computed("pieces", "whole", "without those that begin and end a text", "pieces"),
        computed("pieces_per_word", "number", "the tokenizer's fertility"),
        computed("unknown_fraction", "number", "share of the pieces that are [UNK]"),
        computed(
            "one_piece_fraction", "number", "share of the words that are one piece, each cut alone behind a blank"
        ),
    ),
)

_KIND = computed("kind", "text", "masked: masked words; pseudo: every piece alone")
_UNITS = {"piece": "piece that is asked for", "word": "word that is asked for"}

PERPLEXITIES = Table(
    "perplexities",
    "a model on a corpus (`raybert crosseval`)",
    (
        computed("model", "text", "its name"),
        computed("corpus", "text", "its name"),
        _KIND,
        computed("num_seeds", "whole", "of the model"),
        computed("documents", "whole", "measured", "documents"),
        computed("words", "whole", "asked for", "words"),
        computed("pieces", "whole", "asked for", "pieces"),
        *(
            column
            for unit, words in _UNITS.items()
            for column in (
                computed(f"{unit}_perplexity", "number", f"exp(mean loss per {words}), mean of losses over seeds"),
                computed(f"{unit}_low", "number", "end of its 95 % interval over documents and seeds"),
                computed(f"{unit}_high", "number", "its other end"),
                computed(f"{unit}_documents_low", "number", "end of its 95 % bootstrap interval over documents alone"),
                computed(f"{unit}_documents_high", "number", "its other end"),
                computed(
                    f"{unit}_documents_deviation", "number", "standard error of the mean loss, from documents", "nat"
                ),
                computed(
                    f"{unit}_seeds_deviation", "number", "deviation of the mean loss over seeds; NaN: one seed", "nat"
                ),
            )
        ),
    ),
)

PERPLEXITY_DIFFERENCES = Table(
    "perplexity_differences",
    "a pair of models on a corpus (`raybert crosseval`), per piece if all models have one tokenizer, else per word",
    (
        computed("corpus", "text", "its name"),
        _KIND,
        computed("model", "text", "the one"),
        computed("other", "text", "the other"),
        computed("ratio", "number", "perplexity of the one / of the other; below 1 the one is better"),
        computed("low", "number", "end of its 95 % interval over documents and seeds, both paired"),
        computed("high", "number", "its other end"),
        computed("p", "number", "two-sided p-value of the ratio being 1"),
        computed("holm_p", "number", "adjusted for all pairs and corpora of the kind"),
    ),
)

DOMAINS = Table(
    "domains",
    "a model and a kind (`raybert crosseval`), over the corpora that are no mix; perplexities as in the differences",
    (
        computed("model", "text", "its name"),
        _KIND,
        computed("domain", "text", "corpus that it was trained on; empty: not known"),
        computed("in_perplexity", "number", "on its domain, or the parts of a mix (geometric mean)"),
        computed("out_perplexity", "number", "on all others (geometric mean)"),
        computed("out_in_ratio", "number", "out / in"),
        computed("out_in_low", "number", "end of its 95 % interval over documents and seeds"),
        computed("out_in_high", "number", "its other end"),
        computed("out_in_p", "number", "two-sided p-value of the ratio being 1"),
        computed("worst", "text", "corpus of the highest perplexity"),
        computed("best", "text", "corpus of the lowest"),
        computed("bias_ratio", "number", "highest / lowest"),
        computed("bias_low", "number", "end of its 95 % interval over documents and seeds, 1 at least"),
        computed("bias_high", "number", "its other end"),
    ),
)

MEASURED_DOCUMENTS = Table(
    "measured_documents",
    "a document, measured by a seed of a model (`crosseval/documents.parquet`)",
    (
        computed("model", "text", "its name"),
        computed("seed", "whole", "its number"),
        computed("corpus", "text", "its name"),
        _KIND,
        computed("document", "whole", "its place in the split, from 0"),
        computed("loss", "number", "sum of -log p over the pieces asked for", "nat"),
        computed("pieces", "whole", "asked for", "pieces"),
        computed("words", "whole", "asked for", "words"),
    ),
)

OF_PRETRAINING = (TOKENIZER_CUTS, PERPLEXITIES, PERPLEXITY_DIFFERENCES, DOMAINS, MEASURED_DOCUMENTS)
"""In the order of the documentation."""
