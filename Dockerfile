# The image of head and workers on Kubernetes (deploy/kuberay): the package with exactly the locked files, and no tools.
FROM python:3.11.14-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY gc_ray gc_ray
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11.14-slim-bookworm
# KubeRay's probes call wget
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# by number: Kubernetes cannot tell from a name that it is not root
USER 1000
WORKDIR /home/ray
