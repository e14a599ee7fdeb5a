"""A cohort looked at from headers alone: the same as `gc-ray check`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
