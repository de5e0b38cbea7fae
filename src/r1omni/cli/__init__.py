"""One file per verb: parse, build, call. No logic lives here."""
