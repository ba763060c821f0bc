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
        computed("groups", "whole", "of these documents, drawn whole for the intervals; 0: documents are drawn"),
        computed("words", "whole", "asked for", "words"),
        computed("pieces", "whole", "asked for", "pieces"),
        *(
            column
            for unit, words in _UNITS.items()
            for column in (
                computed(f"{unit}_perplexity", "number", f"exp(mean loss per {words}), mean of losses over seeds"),
                computed(
                    f"{unit}_low", "number", "end of its 95 % interval over documents (or their groups) and seeds"
                ),
                computed(f"{unit}_high", "number", "its other end"),
                computed(
                    f"{unit}_documents_low",
                    "number",
                    "end of its 95 % bootstrap interval over documents (or their groups) alone",
                ),
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
        computed("group", "text", "corpus and group that it is of; empty: none"),
        computed("loss", "number", "sum of -log p over the pieces asked for", "nat"),
        computed("pieces", "whole", "asked for", "pieces"),
        computed("words", "whole", "asked for", "words"),
    ),
)

_PROBE = computed("probe", "text", "its name")
_MODEL = computed("model", "text", "its name")
_ABOUT = computed("kind", "text", "what pairs are about; all: all prompts of the probe")
_GROUP = computed("group", "text", "of words; of pairs the sentences `more` and `less`")
_OTHER_GROUP = computed("other_group", "text", "the group that it is compared with")
_PROMPTS = computed("prompts", "whole", "templates, or pairs of sentences", "prompts")
_PROMPT = computed("prompt", "whole", "its number in the probe, from 0")
_TEMPLATE = computed("template", "text", "with its gap")
_FLIPS = computed("sign_flip_p", "number", "two-sided p-value of flips of sign over prompts, exact up to 16 of them")

PROBE_GROUPS = Table(
    "probe_groups",
    "a group of a probe, as a model takes it (`raybert probe`)",
    (
        *(_PROBE, _MODEL, _ABOUT, _GROUP, _PROMPTS),
        computed("preferred_fraction", "number", "share of the prompts that prefer it: the bias rate"),
        computed("chance", "number", "that share without a preference"),
        computed("low", "number", "end of its exact 95 % interval (Clopper and Pearson)"),
        computed("high", "number", "its other end"),
        computed("binomial_p", "number", "exact two-sided p-value of there being no preference"),
        computed("holm_p", "number", "adjusted for all rows; two groups are one test"),
    ),
)

PROBE_DIFFERENCES = Table(
    "probe_differences",
    "a pair of groups of a probe, as a model takes it (`raybert probe`)",
    (
        *(_PROBE, _MODEL, _ABOUT, _GROUP, _OTHER_GROUP, _PROMPTS),
        computed("difference", "number", "mean over prompts of the difference of log-probabilities", "nat"),
        computed("low", "number", "end of its 95 % interval over prompts (bootstrap) and seeds", "nat"),
        computed("high", "number", "its other end", "nat"),
        computed("seeds_deviation", "number", "deviation of the difference over seeds; NaN: one seed", "nat"),
        computed("preferred_fraction", "number", "share of the prompts in which the group is above the other"),
        _FLIPS,
        computed("holm_p", "number", "adjusted for all rows"),
    ),
)

PROBE_MODELS = Table(
    "probe_models",
    "a pair of models on a pair of groups (`raybert probe`)",
    (
        *(_PROBE, _ABOUT, _GROUP, _OTHER_GROUP, _MODEL),
        computed("other", "text", "the other model"),
        _PROMPTS,
        computed("difference", "number", "of the two differences, the one model's less the other's", "nat"),
        computed("low", "number", "end of its 95 % interval over prompts (bootstrap) and seeds, both paired", "nat"),
        computed("high", "number", "its other end", "nat"),
        _FLIPS,
        computed("holm_p", "number", "adjusted for all rows"),
    ),
)

PROBE_PROMPTS = Table(
    "probe_prompts",
    "a group in a prompt (`raybert probe`)",
    (
        *(_PROBE, _MODEL, _PROMPT, _GROUP),
        computed("text", "text", "the template, or the sentence of a pair"),
        computed("kind", "text", "what a pair is about"),
        computed("log_probability", "number", "log of the mean probability of its words, mean over seeds", "nat"),
        computed("is_preferred", "flag", "whether it is the most probable group"),
    ),
)

PROBE_WORDS = Table(
    "probe_words",
    "a word in a template, of a seed of a model (`raybert probe`)",
    (
        *(_PROBE, _MODEL, computed("seed", "whole", "of the model"), _PROMPT, _TEMPLATE, _GROUP),
        computed("word", "text", "as the file has it"),
        computed("pieces", "whole", "that the tokenizer makes of it, all of which are masked", "pieces"),
        computed("log_probability", "number", "sum over its pieces", "nat"),
    ),
)

PROBE_PREDICTIONS = Table(
    "probe_predictions",
    "a piece that a seed of a model fills in (`raybert probe`)",
    (
        *(_PROBE, _MODEL, computed("seed", "whole", "of the model"), _PROMPT, _TEMPLATE),
        computed("rank", "whole", "from 1, the most probable"),
        computed("piece", "text", "as text"),
        computed("probability", "number", "of it in a gap of one piece"),
    ),
)

OF_PRETRAINING = (
    *(TOKENIZER_CUTS, PERPLEXITIES, PERPLEXITY_DIFFERENCES, DOMAINS, MEASURED_DOCUMENTS),
    *(PROBE_GROUPS, PROBE_DIFFERENCES, PROBE_MODELS, PROBE_PROMPTS, PROBE_WORDS, PROBE_PREDICTIONS),
)
"""In the order of the documentation."""
