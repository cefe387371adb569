# Two stages: wheels are made where compilers may be, the image has neither pip nor shell history.
FROM python:3.13-slim AS build
WORKDIR /src
# requirements.semantic.lock for semantic caches: 50 MB of wheels more.
ARG LOCK=requirements.lock
COPY ${LOCK} pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN python -m venv /app \
 && /app/bin/pip install --no-cache-dir --require-hashes -r ${LOCK} \
 && /app/bin/pip install --no-cache-dir --no-deps . \
 && /app/bin/pip uninstall -y pip setuptools \
 && find /app -name '__pycache__' -prune -exec rm -rf {} + \
 && /app/bin/python -m compileall -q /app/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="sidestream" \
      org.opencontainers.image.description="A reverse-proxy sidecar that speaks the OpenAI wire protocol" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 65532 --no-create-home sidestream
COPY --from=build /app /app
USER 65532
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8400 8401
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8401/healthz', timeout=2)"]
ENTRYPOINT ["sidestream"]
CMD ["serve"]
