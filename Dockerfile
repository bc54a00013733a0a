# distq as an image: a worker host, or with the command `server` the HTTP API and the dashboard.
#
#     docker build -t distq .
#
# An application of your own begins FROM distq, copies its code into /app and names it: docs/deployment.md.

FROM python:3.13-slim AS build
RUN python -m venv /venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY distq ./distq
RUN /venv/bin/pip install --no-cache-dir '.[server,json,uvloop]'

FROM python:3.13-slim
RUN groupadd --gid 10001 distq && useradd --uid 10001 --gid distq --no-create-home distq
COPY --from=build /venv /venv
WORKDIR /app
COPY examples ./examples
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    DISTQ_APP=examples.monitoring.app:app \
    DISTQ_METRICS_PORT=8080 \
    DISTQ_SERVER_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8080 8081
# No shell in between: signals reach the supervisor, which finishes what runs.
ENTRYPOINT ["distq"]
CMD ["run"]
STOPSIGNAL SIGTERM
# Whether the host works. Not whether the broker is there: a worker that waits for it is not helped by a restart. Never by
# way of a proxy, which the environment of a container often names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1:8080', timeout=2); c.request('GET', '/livez'); exit(c.getresponse().status != 200)"]
