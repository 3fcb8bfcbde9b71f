# One image for every service: the command decides (`koridor worker`, `koridor api`, ...).
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    KORIDOR_HOME=/data \
    NUMBA_CACHE_DIR=/data/numba

RUN useradd --create-home --uid 1000 koridor && mkdir /data && chown koridor /data
WORKDIR /app

# Dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY streams streams
COPY api api
COPY fixtures fixtures
COPY benchmarks benchmarks
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER koridor
VOLUME /data
ENTRYPOINT ["koridor"]
CMD ["--help"]
