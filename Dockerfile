# syntax=docker/dockerfile:1

# Two images of one tree: `docker build --target cpu .` (the default) and `docker build --target cuda .`.
# Builders install the hash-locked environment with the same script as `make setup`; runtimes hold no compiler.
# GGML_NATIVE=OFF: the image must run on other machines than the one that built it. On x86-64 that leaves
# AVX2, FMA and F16C, so any CPU since 2013 (Haswell) or 2017 (Zen).

ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG CUDA_VERSION=12.8.1
ARG UBUNTU=ubuntu24.04

# Everything that changes without a new environment.
FROM scratch AS source
COPY app /app
COPY rules /rules
COPY policies.yaml README.md LICENSE pyproject.toml /
COPY docs/samples /docs/samples
COPY models/catalogue.yaml /models/catalogue.yaml


FROM ${PYTHON_IMAGE} AS cpu-builder
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/portcullis
ENV XDG_CACHE_HOME=/cache
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF"
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY scripts scripts
COPY app/__init__.py app/__init__.py
RUN --mount=type=cache,target=/cache python3 -m scripts.environment runtime --prune


FROM nvidia/cuda:${CUDA_VERSION}-devel-${UBUNTU} AS cuda-builder
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/portcullis
# Compute capabilities: 75 T4, 80 A100, 86 A10/RTX 30, 89 L4/RTX 40, 90 H100/H200, 120 RTX 50.
ARG CUDA_ARCHITECTURES="75;80;86;89;90;120"
ENV XDG_CACHE_HOME=/cache
# The driver's libcuda.so.1 is not there while building; it comes with the GPU at run time.
ENV CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_CUDA=ON '-DCMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}' -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined"
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY scripts scripts
COPY app/__init__.py app/__init__.py
RUN --mount=type=cache,target=/cache python3 -m scripts.environment runtime --prune


FROM nvidia/cuda:${CUDA_VERSION}-runtime-${UBUNTU} AS cuda
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin portcullis \
    && install --directory --owner portcullis /data /models
WORKDIR /opt/portcullis
COPY --from=cuda-builder /opt/portcullis/.venv .venv
COPY --from=source / .
COPY --chown=portcullis models/demo /models/demo
ENV PATH=/opt/portcullis/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORTCULLIS_HOST=0.0.0.0 \
    PORTCULLIS_PORT=8000 \
    PORTCULLIS_DATA_DIR=/data \
    PORTCULLIS_MODELS_DIR=/models \
    PORTCULLIS_MODEL=youtu-vl-4b \
    PORTCULLIS_LOG_JSON=true
USER 10001
VOLUME ["/data", "/models"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORTCULLIS_PORT']}/healthz\", timeout=4)"]
CMD ["portcullis", "serve"]


FROM ${PYTHON_IMAGE} AS cpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin portcullis \
    && install --directory --owner portcullis /data /models
WORKDIR /opt/portcullis
COPY --from=cpu-builder /opt/portcullis/.venv .venv
COPY --from=source / .
COPY --chown=portcullis models/demo /models/demo
ENV PATH=/opt/portcullis/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORTCULLIS_HOST=0.0.0.0 \
    PORTCULLIS_PORT=8000 \
    PORTCULLIS_DATA_DIR=/data \
    PORTCULLIS_MODELS_DIR=/models \
    PORTCULLIS_MODEL=youtu-vl-4b \
    PORTCULLIS_LOG_JSON=true
USER 10001
VOLUME ["/data", "/models"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORTCULLIS_PORT']}/healthz\", timeout=4)"]
CMD ["portcullis", "serve"]
