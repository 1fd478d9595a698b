# The daemon in a container: locked dependencies, no build tools, no root. The ledger lives in the volume.
#
#   docker build -t registration-bridge .
#   docker run -p 8080:8080 -v bridge-ledger:/var/lib/bridge -v "$PWD/bridge.toml:/etc/bridge/bridge.toml:ro" \
#     --env-file secrets.env --stop-timeout 45 registration-bridge
#
# In bridge.toml: [server] host = "0.0.0.0"; a relative sqlite:/// address is below /var/lib/bridge.

FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements-build.lock requirements-runtime.lock ./
RUN python -m venv /opt/bridge \
 && /opt/bridge/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements-runtime.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY bridge ./bridge
COPY config ./config
COPY connectors ./connectors
RUN /opt/build/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/bridge/bin/pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && /opt/bridge/bin/bridge --version

FROM python:3.12-slim
RUN groupadd --gid 10001 bridge \
 && useradd --uid 10001 --gid bridge --no-create-home --home-dir /var/lib/bridge --shell /usr/sbin/nologin bridge \
 && install --directory --owner bridge --group bridge --mode 0700 /var/lib/bridge
COPY --from=build /opt/bridge /opt/bridge
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_CONFIG=/etc/bridge/bridge.toml \
    BRIDGE_HEALTH=http://127.0.0.1:8080/healthz
WORKDIR /var/lib/bridge
VOLUME /var/lib/bridge
USER bridge
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['BRIDGE_HEALTH'], timeout=4)"]
ENTRYPOINT ["bridge"]
CMD ["run"]
