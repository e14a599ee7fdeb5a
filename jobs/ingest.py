"""A table of features made elsewhere, brought into a store: the same as `gc-ray ingest`."""

import sys

from gc_ray.cli import main

if __name__ == "__main__":
    main(["ingest", *sys.argv[1:]])
