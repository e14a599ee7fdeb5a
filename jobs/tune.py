"""The signatures of a study, searched and fitted: the same as `gc-ray tune`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
