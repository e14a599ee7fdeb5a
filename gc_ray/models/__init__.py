"""Networks and signatures: what is fitted, how it is fitted, and the folder in which it is kept."""
