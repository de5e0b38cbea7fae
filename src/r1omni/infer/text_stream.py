"""The text of an answer while its tokens come one by one.

Only whole characters are let out: the bytes of one may lie in several tokens. With stop strings, what could be the
beginning of one is held back as well, so that what was let out never has to be taken back. The pieces, put together,
are the text of all tokens, cut before the first stop string.
"""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_INCOMPLETE = "\ufffd"
"""What a tokenizer writes for bytes that are no character, or not yet."""


def decode(tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[int]) -> str:
    """Return the text of tokens, special ones left out.

    Args:
        tokenizer: of the language model; what it writes for a token must not depend on the tokens before.
        token_ids: of an answer.
    """
    text = tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


class TextStream:
    """Turns tokens into text.

    Args:
        tokenizer: see `decode`.
        stop: strings that end the answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self.tokenizer, self.stop = tokenizer, [text for text in stop if text]
        self.text = ""
        """What was let out."""
        self.stopped = False
        """Whether a stop string was written."""
        self._held = ""
        self._tokens: list[int] = []
        """Those whose text may still change."""

    def push(self, token_id: int) -> str:
        """Take one more token and return the text that it completes; nothing once a stop string was found.

        Args:
            token_id: the token.
        """
        if self.stopped:
            return ""
        self._tokens.append(token_id)
        text = decode(self.tokenizer, self._tokens)
        if self._cut(text):
            return self._let_out(self._held)
        if text.endswith(_INCOMPLETE):
            return ""
        self._tokens.clear()
        self._held += text
        return self._let_out(self._held[: len(self._held) - self._beginning()])

    def finish(self) -> str:
        """Return what was held back; the answer has no more tokens."""
        if not self.stopped:
            self._held += decode(self.tokenizer, self._tokens)
        self._tokens.clear()
        return self._let_out(self._held)

    def _cut(self, text: str) -> bool:
        """Cut what is held and the new text before the first stop string, if there is one."""
        whole = self._held + text
        found = [place for place in map(whole.find, self.stop) if place >= 0]
        if found:
            self.stopped, self._held = True, whole[: min(found)]
        return self.stopped

    def _beginning(self) -> int:
        """Length of the longest end of the held text that a stop string begins with."""
        longest = max((len(text) for text in self.stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-length:]) for text in self.stop):
                return length
        return 0

    def _let_out(self, text: str) -> str:
        self._held = self._held[len(text) :]
        self.text += text
        return text
