"""What checks annotations while unit tests run: beartype, with an int accepted where a float is asked for (PEP 484).

Of a long list beartype checks one item, which it draws at random. It gets a generator of its own here: drawing from
Python's global one would change what the code under test draws from it.
"""

import random

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain

assert hasattr(codemain, "getrandbits"), "beartype draws elsewhere now; see test_house_types.py"
codemain.getrandbits = random.Random(0).getrandbits

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
