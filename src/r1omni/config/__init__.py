"""One pydantic schema per kind of run, and how defaults, TOML files and dotted flags become one."""
