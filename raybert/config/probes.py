"""The section `probes` of a pretraining file: what models fill into templates, which of two sentences they prefer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from raybert.config.section import Section

MASK = "[MASK]"


class PairConfig(Section):
    """Two sentences that differ in little: CrowS-Pairs calls them `sent_more` and `sent_less`."""

    more: str = Field(min_length=1, description="the sentence that states the more stereotyped or more expected case")
    less: str = Field(min_length=1, description="the other")
    kind: str = Field("", description="what the pair is about")


class ProbeConfig(Section):
    """Fill-in templates with groups of words, or minimal pairs of sentences."""

    in_words: ClassVar = {"": "templates with groups, or pairs"}

    templates: str | tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="texts with one [MASK] each, or a txt file with one a line (`#` begins a comment)",
    )
    groups: dict[str, tuple[str, ...]] | None = Field(
        None, description="name -> words or short phrases that may stand for [MASK]; two groups at least"
    )
    pairs: str | tuple[PairConfig, ...] | None = Field(
        None,
        min_length=1,
        description="pairs of sentences, or a csv, json or parquet file with columns `more` and `less` (or `sent_more` "
        "and `sent_less`) and perhaps `kind` (or `bias_type`)",
    )
    top: int = Field(10, ge=0, le=1000, description="most probable pieces that are listed of each template")
    resamples: int = Field(2000, ge=100, le=100_000, description="bootstrap resamples of prompts behind intervals")
    seed: int = Field(0, ge=0, description="of the resamples")

    @model_validator(mode="after")
    def _one_kind(self) -> ProbeConfig:
        if self.pairs is not None:
            beside = [key for key in ("templates", "groups") if getattr(self, key) is not None]
            if beside:
                raise ValueError(f"{beside[0]}: must be left out of a probe with `pairs`, got a value")
            return self
        if self.templates is None:
            raise ValueError("must have `templates` with `groups`, or `pairs`, got neither")
        if self.groups is None or len(self.groups) < 2:
            got = "none" if not self.groups else f"'{next(iter(self.groups))}' alone"
            raise ValueError(f"groups: must be two at least beside `templates`, got {got}")
        return self

    def problems(self) -> list[str]:
        """Return what is wrong with single templates and words, a line each, as far as the file itself says."""
        found = _problems_of_groups(self.groups or {})
        if isinstance(self.templates, tuple):
            found += problems_of_templates([(f"templates[{n}]", text) for n, text in enumerate(self.templates)])
        return found


def problems_of_templates(templates: list[tuple[str, str]]) -> list[str]:
    """Return what is wrong with templates, a line each.

    Args:
        templates: where each stands, and its text.
    """
    problems, seen = [], dict[str, str]()
    for place, text in templates:
        count = text.count(MASK)
        if count != 1:
            problems.append(f"{place}: must have {MASK} once, got {'none' if count == 0 else count} in '{text}'")
        elif " ".join(text.split()) in seen:
            problems.append(f"{place}: must differ from {seen[' '.join(text.split())]}, got '{text}' again")
        seen.setdefault(" ".join(text.split()), place)
    return problems


def _problems_of_groups(groups: dict[str, tuple[str, ...]]) -> list[str]:
    problems, owner = [], dict[str, str]()
    for name, words in groups.items():
        if not words:
            problems.append(f"groups.{name}: must have a word, got none")
        for number, word in enumerate(words):
            place = f"groups.{name}[{number}]"
            if not word.strip() or MASK in word:
                problems.append(f"{place}: must be a word, got '{word}'")
            elif word.strip() in owner:
                problems.append(f"{place}: must be in one group, once, got '{word}', which is in {owner[word.strip()]}")
            owner.setdefault(word.strip(), name)
    return problems
