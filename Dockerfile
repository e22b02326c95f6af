# Two stages on one base image: the second takes the finished virtual environment of the first.

FROM rust:1.95-slim-bookworm AS rust

FROM python:3.11-slim-bookworm AS build
COPY --from=rust /usr/local/rustup /usr/local/rustup
COPY --from=rust /usr/local/cargo /usr/local/cargo
ENV RUSTUP_HOME=/usr/local/rustup \
    CARGO_HOME=/usr/local/cargo \
    PATH=/opt/ingest/bin:/usr/local/cargo/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --requirement requirements/build.txt \
    && python3 -m venv /opt/ingest \
    && /opt/ingest/bin/pip install --require-hashes --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY native native
COPY ingest ingest
RUN /opt/build/bin/maturin build --release --interpreter /opt/ingest/bin/python --out /wheels \
    && /opt/ingest/bin/pip install --no-deps /wheels/*.whl \
    && ingest --help > /dev/null

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 ingest \
    && useradd --uid 10001 --gid ingest --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin ingest \
    && install --directory --owner=ingest --group=ingest --mode=0750 /data
COPY --from=build /opt/ingest /opt/ingest
ENV PATH=/opt/ingest/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    INGEST_DATA_DIR=/data \
    INGEST_LISTENERS='[{"kind":"tcp","address":"0.0.0.0:5140"},{"kind":"udp","address":"0.0.0.0:5140"}]' \
    INGEST_ADMIN__ADDRESS=0.0.0.0:5142
USER ingest
VOLUME /data
EXPOSE 5140/tcp 5140/udp 5142/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 5142, timeout=2); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
# The supervisor is PID 1: it reaps orphans and drains on SIGTERM.
ENTRYPOINT ["ingest"]
CMD ["serve"]
