"""Network inputs to latent vectors: the same as `gc-ray embed`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["embed", *sys.argv[1:]])
