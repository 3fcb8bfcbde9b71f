"""How right the answers are, beside the generator's truth and on recordings: one file per kind of answer."""
