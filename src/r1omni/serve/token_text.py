"""The bytes of single tokens, for log-probabilities: a character may be spread over several tokens.

Source: the byte alphabet of byte-level BPE, https://github.com/openai/gpt-2/blob/master/src/encoder.py#L8-L28
"""

from functools import cache

from transformers import PreTrainedTokenizerBase

from r1omni.serve.api_schema import TokenLogprob


def token_logprob(tokenizer: PreTrainedTokenizerBase, token_id: int, logprob: float) -> TokenLogprob:
    """Return one token as the API shows it.

    Args:
        tokenizer: the language model's.
        token_id: the token.
        logprob: its log-probability.
    """
    content = token_bytes(tokenizer, token_id)
    return TokenLogprob(token=content.decode("utf-8", "replace"), logprob=max(logprob, -9999.0), bytes=list(content))


def token_bytes(tokenizer: PreTrainedTokenizerBase, token_id: int) -> bytes:
    """Return the bytes that a token stands for.

    Args:
        tokenizer: of the byte-level BPE kind; a token from outside its alphabet is its own text.
        token_id: the token.
    """
    token = str(tokenizer.convert_ids_to_tokens(token_id))
    alphabet = _alphabet()
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


@cache
def _alphabet() -> dict[str, int]:
    """Character of the byte alphabet -> byte."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
