"""`python -m gc_ray` is the command `gc-ray`."""

from gc_ray.cli import main

main()
