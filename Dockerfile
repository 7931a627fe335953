# The shop in a small image: two stages, no compiler, no pip, no root.
#   docker build -t tradepost .
#   docker run --read-only --tmpfs /tmp -v tradepost:/var/lib/tradepost -p 127.0.0.1:8700:8700 tradepost serve --demo
FROM python:3.11.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/build.txt requirements/production.txt requirements/
RUN python -m venv --without-pip /opt/tradepost \
 && python -m pip --python /opt/tradepost/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
      -r requirements/production.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN /opt/build/bin/python -m pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && python -m pip --python /opt/tradepost/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && python -m compileall -q /opt/tradepost/lib

FROM python:3.11.11-slim-bookworm
LABEL org.opencontainers.image.title="tradepost" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 tradepost \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tradepost \
 && install --directory --owner 10001 --group 10001 --mode 0750 /var/lib/tradepost
COPY --from=build --chown=root:root /opt/tradepost /opt/tradepost
COPY --chown=root:root LICENSE NOTICE /usr/share/doc/tradepost/
ENV PATH=/opt/tradepost/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/var/lib/tradepost \
    HOST=0.0.0.0 \
    PORT=8700
USER 10001:10001
VOLUME /var/lib/tradepost
EXPOSE 8700
STOPSIGNAL SIGTERM
# A worker without HTTP (`work`) has no port to ask: its compose and Helm files set their own check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/ready\", timeout=2)"]
ENTRYPOINT ["tradepost"]
CMD ["serve"]
