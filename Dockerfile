# Debian with DIALS from its own packages, and apertura's wheel with the locked dependencies.
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY flows flows
COPY tasks tasks
COPY adapters adapters
COPY deployments deployments
RUN python3 -m venv /opt/apertura && /opt/apertura/bin/pip install --no-cache-dir -c constraints.txt '.[redis,formats,scicat]'

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 dials tini && rm -rf /var/lib/apt/lists/*
# a volume that is mounted for the first time has the owner of the folder that it covers
RUN useradd --create-home --uid 1000 apertura && install -d -o apertura -g apertura /data /data/apertura /data/incoming /data/runs
COPY --from=build /opt/apertura /opt/apertura
ENV PATH=/opt/apertura/bin:$PATH \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    NUMBA_CACHE_DIR=/tmp/numba
USER apertura
WORKDIR /data
ENTRYPOINT ["apertura"]
CMD ["--help"]
