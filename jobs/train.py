"""A network of a study, trained by Ray Train: the same as `gc-ray train`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
