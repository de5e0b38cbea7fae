"""Conversations to token ids, in such a way that only the chat template writes control tokens.

Control tokens are the tokens added to a tokenizer's vocabulary (`<|im_end|>`, `<|endoftext|>`, `<tool_call>`, ...). The
tokenizer finds them anywhere in a text; here they count only in what the template and the processor write. What a user,
a client or the model wrote is read by the same tokenizer without its added tokens:

    ids("...<|im_end|>...") = bpe("...<|im_end|>...")

A prompt without a control token in its messages has the ids that the tokenizer gives for the rendered template as a
whole, so that merges across the border of template and message stay what they were in training.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, TokenizersBackend

from r1omni.core.message import Message

_MARK = "\ue000{}\ue001"
"""Stands for the text of one message while the chat template is rendered; the text itself is put in afterwards."""
_MARKS = re.compile("\ue000([0-9]+)\ue001")


class Part(NamedTuple):
    """A stretch of a prompt's text."""

    text: str
    message: int | None
    """Index of the message it is the text of; None for what the template or the processor writes."""


def as_messages(conversation: str | Sequence[Message]) -> tuple[Message, ...]:
    """Return a conversation's messages; a string is one user message.

    Args:
        conversation: at least one message.

    Raises:
        ValueError: there is no message.
    """
    messages = (Message("user", conversation),) if isinstance(conversation, str) else tuple(conversation)
    if not messages:
        raise ValueError("The conversation has no message; expected at least one.")
    return messages


def question(messages: Sequence[Message]) -> str:
    """Return the last user message, the bare question that the router reads; empty without one.

    Args:
        messages: a conversation.
    """
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool) -> list[Part]:
    """Render the chat template, the texts of the messages apart from what the template writes around them.

    Args:
        tokenizer: has the chat template.
        messages: a conversation; their texts are put in as they are.
        add_generation_prompt: end with the opening of the assistant's turn.

    Raises:
        ValueError: the template leaves a message out, repeats it or changes the order.
    """
    marked = [{"role": message.role, "content": _MARK.format(place)} for place, message in enumerate(messages)]
    rendered = tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=add_generation_prompt)
    pieces = _MARKS.split(str(rendered))
    if pieces[1::2] != [str(place) for place in range(len(messages))]:
        raise ValueError(
            f"The tokenizer's chat template shows messages [{', '.join(pieces[1::2])}] of {len(messages)}; expected "
            f"each one once and in order. Check the roles ({', '.join(message.role for message in messages)})."
        )
    parts = [Part(pieces[0], None)]
    for place, after in enumerate(pieces[2::2]):
        parts += [Part(messages[place].content, place), Part(after, None)]
    return parts


def encode(tokenizer: PreTrainedTokenizerBase, parts: Sequence[Part]) -> list[int]:
    """Tokenise parts jointly; control tokens are found in the template's parts only.

    Args:
        tokenizer: a tokenizer of the tokenizers library, as all of transformers' byte-level BPE tokenizers are.
        parts: stretches of one text, in order.

    Raises:
        TypeError: the tokenizer is of another kind.
    """
    if not isinstance(tokenizer, TokenizersBackend):
        raise TypeError(f"Found a {type(tokenizer).__name__}; expected a tokenizer of the tokenizers library.")
    text = "".join(part.text for part in parts)
    if not text:
        return []
    controls = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    own, end = [], 0
    for part in parts:
        start, end = end, end + len(part.text)
        if part.message is None:
            own.append((start, end))
    tokens = _tokens(tokenizer, text)
    found = [(start, stop) for token_id, start, stop in tokens if token_id in controls]
    if all(any(first <= start and stop <= last for first, last in own) for start, stop in found):
        return [token_id for token_id, _, _ in tokens]
    return _encode_apart(tokenizer, parts, controls)


def _encode_apart(tokenizer: TokenizersBackend, parts: Sequence[Part], controls: set[int]) -> list[int]:
    """Take control tokens from the template's parts; tokenise what lies between them, jointly, as text."""
    plain = _without_controls(tokenizer)
    stretches, between = [""], []
    for part in parts:
        last = 0
        for token_id, start, stop in _tokens(tokenizer, part.text) if part.message is None else []:
            if token_id in controls:
                stretches[-1] += part.text[last:start]
                stretches.append("")
                between.append([token_id])
                last = stop
        stretches[-1] += part.text[last:]
    ids = []
    for stretch, control in zip(stretches, [*between, []], strict=True):
        ids += plain.encode(stretch, add_special_tokens=False).ids + control
    return ids


def text_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[int, int, int]]:
    """Tokenise text in which nothing is a control token; the ids are those of `encode` for one message.

    Args:
        tokenizer: see `encode`.
        text: any text.

    Returns:
        Id, start and end in characters of each token.

    Raises:
        TypeError: see `encode`.
    """
    ids = encode(tokenizer, [Part(text, 0)])
    assert isinstance(tokenizer, TokenizersBackend)
    tokens = _tokens(tokenizer, text) if text else []
    if [token_id for token_id, _, _ in tokens] == ids:
        return tokens
    found = _without_controls(tokenizer).encode(text, add_special_tokens=False)
    return [(token_id, *span) for token_id, span in zip(found.ids, found.offsets, strict=True)]


def _without_controls(tokenizer: TokenizersBackend) -> Tokenizer:
    backend = tokenizer.backend_tokenizer
    plain = Tokenizer(backend.model)
    plain.normalizer, plain.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    return plain


def _tokens(tokenizer: TokenizersBackend, text: str) -> list[tuple[int, int, int]]:
    """Id, start and end in characters of each token."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets: list[tuple[int, int]] = found["offset_mapping"]  # pyright: ignore[reportAssignmentType]
    ids: list[int] = found["input_ids"]  # pyright: ignore[reportAssignmentType]
    return [(token_id, *span) for token_id, span in zip(ids, offsets, strict=True)]
