"""What the commands do, from tables in the store to tables in the store; the only package that imports Ray."""
